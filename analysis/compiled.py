"""Whether compiled code is used, and how it is compiled.

Modules whose name ends in `_numba` import numba through here; nothing else does, and what calls
them has a path without them.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Literal, ParamSpec, TypeVar

from analysis.errors import AnalysisError

P = ParamSpec("P")
R = TypeVar("R")
Engine = Literal["numpy", "numba"]


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at first call; keep the machine code on disk where some folder can be written to."""
    # Sums may be reordered, so that they are computed several terms at a time.
    numba: Any = import_module("numba")
    options = {"fastmath": {"reassoc", "contract", "nsz"}, "error_model": "numpy"}
    try:
        made: Callable[P, R] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for the cache
        made = numba.njit(**options)(function)
    return made


def kernels(name: str, wanted: bool | None, work: float, pays: float) -> ModuleType | None:
    """Compiled module to use, or None for NumPy.

    Parameters
    ----------
    name : str
        Module below `analysis`.
    wanted : bool or None
        True: compiled or an error. False: NumPy. None: compiled where numba is installed and there
        is enough to do.
    work, pays : float
        How much there is to do, and from where loading compiled code is worth its second.

    Returns
    -------
    module or None
        The module.

    Raises
    ------
    AnalysisError
        If compiled code is demanded and numba cannot be imported.
    """
    if wanted is False or (wanted is None and (work < pays or find_spec("numba") is None)):
        return None
    try:
        return import_module(f"analysis.{name}")
    except ImportError as exc:
        if wanted is None:
            return None
        raise AnalysisError(
            f"compiled code cannot be used ({exc}): install tacs-suite[fast], or leave "
            "`compiled` alone"
        ) from exc
