"""`transformed`: a network changed into another one, with the change written down."""

from __future__ import annotations

from typing import Any

from toolkit.network import Network


def transformed(network: Network, name: str, facts: dict[str, Any], **changes: Any) -> Network:
    """`network` with some fields changed and one more entry in ``provenance["scenarios"]``.

    Parameters
    ----------
    network : the circuit before
    name : of the transformation
    facts : its arguments and counts, plain JSON values
    changes : fields of `Network`
    """
    done = network.provenance.get("scenarios", [])
    entry = {"name": name, **facts}
    provenance = {**network.provenance, "scenarios": [*done, entry]}
    return network.replace(**changes, provenance=provenance)
