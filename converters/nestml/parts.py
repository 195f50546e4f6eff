"""`parts`: the code of a step as several short loops over the neurons.

One loop over the hundred arrays of a model with many ports is slow, to compile, and to run, since
compilers do not vectorise it.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from converters.nestml.brian2_code import Brian2Code
from converters.nestml.expressions import parse

# Lines a part. Two ports and the membrane fit into one, for which splitting makes no difference.
MOST_LINES = 30


@dataclass(frozen=True)
class Parts:
    """Code to be run one part after the other.

    Attributes
    ----------
    code : of each part
    carried : local variables that a later part needs: to be variables of the neurons
    conditions : those of them that are true or false
    """

    code: list[str]
    carried: list[str]
    conditions: list[str]


def parts(code: Brian2Code) -> Parts:
    """The code of one step in parts.

    What a port received is added where it is first needed, not at the start of the step.
    """
    lines = _late(code.code.splitlines(), [f"in_{p.name}" for p in code.ports])
    n_parts = -(-len(lines) // MOST_LINES)
    ends = [len(lines) * (k + 1) // n_parts for k in range(n_parts)]
    chunks = [lines[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    own = {code.renamed.get(s.name, s.name) for s in code.states}
    own |= {f"in_{p.name}" for p in code.ports} | {"spike_"}
    carried: list[str] = []
    for k, chunk in enumerate(chunks[:-1]):
        later = set().union(*(_words(line) for rest in chunks[k + 1 :] for line in rest))
        made = dict.fromkeys(_target(line) for line in chunk)
        carried += [name for name in made if name in later - own and name not in carried]
    value = {_target(line): line.partition(" = ")[2] for line in lines}
    conditions = [name for name in carried if _is_condition(value[name])]
    return Parts(["\n".join(chunk) for chunk in chunks], carried, conditions)


def _is_condition(expression: str) -> bool:
    """Whether it is true or false; ``where(a < b, a, b)``, with a comparison inside, is not."""
    tree = parse(expression)
    return isinstance(tree, ast.Compare | ast.BoolOp) or (
        isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not)
    )


def _target(line: str) -> str:
    return line.partition(" = ")[0]


def _words(line: str) -> set[str]:
    return set(re.findall(r"[A-Za-z_]\w*", line))


def _late(lines: list[str], arrivals: list[str]) -> list[str]:
    """Lines that take what a port received, moved down to the first that needs them."""
    groups, group, rest = [], list[str](), list[str]()
    left = list(lines)
    while any(_words(line) & set(arrivals) for line in left):
        line = left.pop(0)
        group.append(line)
        if _target(line) in arrivals:
            groups.append(group)
            group = []
    rest = group + left
    for group in reversed(groups):
        reads = set().union(*map(_words, group))
        writes = {_target(line) for line in group}
        at = next(
            (k for k, line in enumerate(rest) if _words(line) & writes or _target(line) in reads),
            len(rest),
        )
        rest[at:at] = group
    return rest
