"""tacs-suite: find a brain rhythm in EEG, stimulate at it safely, measure honestly what changed.

Research use only. Not a medical device.

The public functions load on first use (PEP 562), so that ``import tacs`` costs nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tacs.checking import check
    from tacs.planning import plan
    from tacs.protocol import Protocol
    from tacs.runner import RunRecord, run

__version__ = "0.1.0"

__all__ = ["Protocol", "RunRecord", "__version__", "check", "plan", "run"]

_HOMES = {
    "Protocol": "tacs.protocol",
    "RunRecord": "tacs.runner",
    "check": "tacs.checking",
    "plan": "tacs.planning",
    "run": "tacs.runner",
}


def _refuse_strangers() -> None:
    """Refuse to start where ``analysis`` or ``devices`` is somebody else's module."""
    root = Path(__file__).resolve().parents[1]
    for name in ("analysis", "devices"):
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        if found != root / name / "__init__.py":
            raise ImportError(
                f"{name!r} resolves to {found or 'nothing'}, not to the one installed with tacs "
                f"({root / name}); rename your own {name!r} module, or install tacs-suite in an "
                f"environment of its own (`tacs doctor` says more)"
            )


_refuse_strangers()


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tacs' has no attribute {name!r}")
