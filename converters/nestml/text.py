"""Identity of a model's text."""

from __future__ import annotations

import hashlib


def content_hash(text: str) -> str:
    """SHA-256 of a model's text."""
    return hashlib.sha256(text.encode()).hexdigest()
