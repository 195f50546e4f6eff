"""Output pools: small groups of neighbouring neurons whose mean rates are the answers."""

from __future__ import annotations

import numpy as np

from toolkit.errors import InputError

POOL_SIZE = 30  # Chen et al. 2022 (Sci Adv 8:eabq7592)


def localized_pools(
    x_um: np.ndarray,
    z_um: np.ndarray,
    candidates: np.ndarray,
    n_pools: int,
    *,
    size: int = POOL_SIZE,
) -> np.ndarray:
    """Pools of the `size` candidates nearest to centres spread evenly over the disc they fill.

    The centres are those of a sunflower: equal areas, no two close together (our choice; the source
    gives fixed ones, for a larger circuit). Pools share no neuron: each in turn takes one more of
    the nearest that are free, so that none is left the remains.

    Parameters
    ----------
    x_um, z_um : horizontal position of all neurons
    candidates : those that may be in a pool, as the excitatory ones of L5
    n_pools : number of pools

    Returns
    -------
    neurons, int64 (pool, size), ascending in a pool

    Raises
    ------
    InputError : too few candidates
    """
    candidates = np.asarray(candidates, dtype=np.int64)
    if n_pools < 1 or size < 1:
        raise InputError(f"n_pools and size must be 1 or more, got {n_pools} and {size}")
    if n_pools * size > len(candidates):
        raise InputError(
            f"{n_pools} pools of {size} neurons need {n_pools * size:,} candidates, there are "
            f"{len(candidates):,}; take smaller pools, a layer with more neurons or a larger "
            "circuit"
        )
    x, z = np.asarray(x_um, dtype=float)[candidates], np.asarray(z_um, dtype=float)[candidates]
    middle_x, middle_z = (x.min() + x.max()) / 2, (z.min() + z.max()) / 2
    radius = np.sqrt((x - middle_x) ** 2 + (z - middle_z) ** 2).max()
    k = np.arange(n_pools)
    r, angle = radius * np.sqrt((k + 0.5) / n_pools), k * np.pi * (3 - np.sqrt(5))
    centre_x, centre_z = middle_x + r * np.cos(angle), middle_z + r * np.sin(angle)
    distance = np.hypot(x - centre_x[:, None], z - centre_z[:, None])
    pools = np.empty((n_pools, size), dtype=np.int64)
    for member in range(size):
        for pool in range(n_pools):
            nearest = int(np.argmin(distance[pool]))
            pools[pool, member] = candidates[nearest]
            distance[:, nearest] = np.inf
    return np.sort(pools, axis=1)
