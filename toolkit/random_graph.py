"""Random graphs in O(edges) memory: trees, and connected directed graphs without loops."""

from __future__ import annotations

import numpy as np

from toolkit.errors import InputError

# Above this share of all pairs those that are left are listed instead of drawn until new: the list
# is then at most four times as long as the result.
DENSE = 0.25


def random_tree(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The two ends of the n - 1 edges of a tree, uniform among the n^(n-2) labelled trees.

    By Joyal's bijection (Adv Math 42:1-82, 1981): a random map f of the n nodes onto themselves has
    cycles c1 < c2 < ... < ck; the path f(c1), f(c2), ..., f(ck) with an edge from each other node i
    to f(i) is a tree with two marked nodes, and every such tree has one map.

    Parameters
    ----------
    n : nodes, 1 or more
    rng : `toolkit.rng.stream`

    Time O(n log n).

    >>> from toolkit.rng import stream
    >>> u, v = random_tree(5, stream(1, "tree"))
    >>> len(u), sorted(set(u.tolist()) | set(v.tolist()))
    (4, [0, 1, 2, 3, 4])
    """
    image = rng.integers(n, size=n)
    repeated = image
    for _ in range(n.bit_length()):  # f applied 2^k > n times leaves the nodes on cycles
        repeated = repeated[repeated]
    cyclic = np.zeros(n, dtype=bool)
    cyclic[repeated] = True
    path, others = image[cyclic], np.flatnonzero(~cyclic)
    return np.concatenate([path[:-1], others]), np.concatenate([path[1:], image[others]])


def random_connected_pairs(
    n: int, n_pairs: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct ordered pairs (pre, post) of n nodes, pre != post, that connect all nodes.

    First the n - 1 edges of `random_tree`, each in a random direction; then the rest, uniform among
    all pairs not yet there. The graph is connected if directions are ignored.

    Parameters
    ----------
    n : nodes
    n_pairs : n - 1 to n (n - 1)
    rng : `toolkit.rng.stream`

    Returns
    -------
    pre, post : int32, sorted by (post, pre)

    Raises
    ------
    InputError : `n_pairs` is out of that range

    Memory about 25 bytes a pair while drawing, 8 in the result.

    >>> from toolkit.rng import stream
    >>> pre, post = random_connected_pairs(4, 12, stream(1, "pairs"))
    >>> list(zip(pre[:4].tolist(), post[:4].tolist()))
    [(1, 0), (2, 0), (3, 0), (0, 1)]
    """
    possible = n * (n - 1)
    if not n - 1 <= n_pairs <= possible:
        raise InputError(
            f"{n:,} nodes have {n - 1:,} (a tree) to {possible:,} connected pairs, got {n_pairs:,}"
        )
    if n == 1:
        return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32)
    ends = random_tree(n, rng)
    forward = rng.random(n - 1) < 0.5
    pre, post = np.where(forward, ends[0], ends[1]), np.where(forward, ends[1], ends[0])
    # A pair as one number, in the order of (post, pre), with no number for pre = post.
    tree = np.sort(post * (n - 1) + pre - (pre > post))
    post, rest = np.divmod(_with_more(tree, n_pairs, possible, rng), n - 1)
    pre = rest + (rest >= post)
    return pre.astype(np.int32), post.astype(np.int32)


def _with_more(
    first: np.ndarray, count: int, possible: int, rng: np.random.Generator
) -> np.ndarray:
    """`count` distinct numbers below `possible`, sorted: those of `first` and uniform others."""
    if count > DENSE * possible:
        free = np.ones(possible, dtype=bool)
        free[first] = False
        others = rng.choice(np.flatnonzero(free), count - len(first), replace=False)
        return np.sort(np.concatenate([first, others]))
    numbers = first
    while len(numbers) < count:
        missing = count - len(numbers)
        drawn = rng.integers(possible, size=int(missing * (1 + count / possible)) + 16)
        numbers = np.concatenate([numbers, drawn])
        numbers.sort()
        numbers = numbers[np.concatenate([[True], np.diff(numbers) > 0])]
    # However many draws it took, every set of new numbers of this size is as likely as any other.
    keep = np.ones(len(numbers), dtype=bool)
    is_first = np.zeros(len(numbers), dtype=bool)
    is_first[np.searchsorted(numbers, first)] = True
    keep[rng.choice(np.flatnonzero(~is_first), len(numbers) - count, replace=False)] = False
    return numbers[keep]
