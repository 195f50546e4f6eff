"""Progress bars for work of more than two seconds."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm


def bar(total: float, label: str, unit: str = "", enabled: bool | None = None) -> Any:
    """A tqdm bar; shown on a terminal only unless `enabled` is True or False."""
    return tqdm(
        total=total,
        desc=label,
        unit=unit,
        disable=None if enabled is None else not enabled,
        delay=0.5,
        dynamic_ncols=True,
        bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f}{unit} [{elapsed}<{remaining}]",
    )
