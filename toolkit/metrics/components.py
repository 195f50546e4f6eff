"""How alike two sets of principal components are, and how alike they would be by chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import InputError
from toolkit.metrics.checks import alike
from toolkit.rng import stream


def component_overlap(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """|<u_k, v_k>| of each component with that of the same rank, (component,).

    Parameters
    ----------
    first, second : unit vectors, (neuron, component)

    Raises
    ------
    InputError : unequal shapes, vectors of another length than 1

    >>> component_overlap([[1.0, 0.0], [0.0, 1.0]], [[0.6, 0.0], [0.8, -1.0]]).tolist()
    [0.6, 1.0]
    """
    u, v = _units(first, second)
    return np.abs((u * v).sum(axis=0))


def subspace_overlap(first: ArrayLike, second: ArrayLike) -> float:
    """Mean squared cosine of the principal angles of two spaces, 0 to 1.

        |U^T V|^2 / k    (Frobenius norm; k components; chance k / N)

    It does not mind that components of similar variance change places.

    Parameters
    ----------
    first, second : orthonormal vectors, (neuron, component)

    Raises
    ------
    InputError : unequal shapes, vectors of another length than 1

    >>> subspace_overlap(np.eye(4)[:, :2], np.eye(4)[:, [1, 0]])
    1.0
    """
    u, v = _units(first, second)
    return float(np.square(u.T @ v).sum() / u.shape[1])


def rotation_null(n_neurons: int, n_components: int, *, n: int, seed: int) -> np.ndarray:
    """Overlaps with components rotated at random (Haar), (draw, component + 1).

    Of a fixed component and a random one: whatever the fixed one, the distribution is the same. The
    last column is the overlap of the spaces.

    Parameters
    ----------
    n_neurons, n_components : of the components
    n : draws
    seed : of them

    Raises
    ------
    InputError : more components than neurons

    >>> rotation_null(1000, 5, n=20, seed=1).shape
    (20, 6)
    """
    if not 1 <= n_components <= n_neurons:
        raise InputError(f"{n_components} components of {n_neurons} neurons are not possible")
    rng, fixed = stream(seed, "rotations"), np.eye(n_neurons, n_components)
    found = []
    for _ in range(n):
        turned, _ = np.linalg.qr(rng.standard_normal((n_neurons, n_components)))
        found.append([*component_overlap(fixed, turned), subspace_overlap(fixed, turned)])
    return np.array(found)


def permutation_null(
    first: ArrayLike, second: ArrayLike, *, n: int, seed: int, groups: ArrayLike | None = None
) -> np.ndarray:
    """Overlaps after neurons of the second set have changed places, (draw, component + 1).

    Loadings keep their distribution, which a rotation does not: components of few strong or of
    only positive loadings overlap by chance more than rotated ones.

    Parameters
    ----------
    first, second : as of `subspace_overlap`, which the last column is
    n : draws
    seed : of them
    groups : neurons change places within these only, such as cell classes, (neuron,)

    Raises
    ------
    InputError : unequal shapes
    """
    u, v = _units(first, second)
    names = np.zeros(len(u), dtype=int) if groups is None else np.asarray(groups)
    if names.shape != (len(u),):
        raise InputError(f"a group for each of {len(u)} neurons is needed, got {names.shape}")
    rng, found = stream(seed, "permutations"), []
    members = [np.flatnonzero(names == name) for name in np.unique(names)]
    for _ in range(n):
        place = np.arange(len(u))
        for own in members:
            place[own] = rng.permutation(own)
        found.append([*component_overlap(u, v[place]), subspace_overlap(u, v[place])])
    return np.array(found)


def _units(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    u, v = alike("first", first, "second", second, rank=2)
    for each in (u, v):
        if not np.allclose(np.linalg.norm(each, axis=0), 1, atol=1e-6):
            raise InputError("components must be unit vectors over neurons, (neuron, component)")
    return u, v
