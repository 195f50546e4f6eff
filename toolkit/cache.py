"""Where what can be made or fetched again is kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's folder for it: ``STRIATE_CACHE``, else ``~/.cache/striate``; not made here."""
    return Path(os.environ.get("STRIATE_CACHE") or Path.home() / ".cache" / "striate")
