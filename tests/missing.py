"""As if a library were not installed."""

from __future__ import annotations

import builtins
from typing import Any

import pytest


def without(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """Have every import of a library fail, also where it was imported before."""
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith(library):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
