"""`vector_lines`: code in which every line is a value of its own for each neuron or synapse."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from converters.nestml.expressions import names


def vector_lines(lines: Iterable[str], own: Collection[str], positive: str) -> list[str]:
    """Lines ``name = expression``, with none that Brian2 would take for a shared value.

    It wants shared values first, and which they are depends on the parameters that are given as
    arrays. `own` are variables of each neuron, `positive` an expression of them that is above 0.

    >>> vector_lines(["a = 3", "V = V + a", "m_1 = c > 2"], ["V", "n"], "n + 1")
    ['a = (3) + 0 * (n + 1)', 'V = V + a', 'm_1 = (c > 2) and n + 1 > 0']
    """
    known, made = set(own), []
    for line in lines:
        target, _, value = line.partition(" = ")
        if target not in known and not names(value) & known:
            condition = target.startswith("m_")
            value = (
                f"({value}) and {positive} > 0" if condition else f"({value}) + 0 * ({positive})"
            )
        known.add(target)
        made.append(f"{target} = {value}")
    return made
