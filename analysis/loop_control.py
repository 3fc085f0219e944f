"""Controls of a loop: what a closed loop is to be held against.

``closed``        the loop itself
``open-loop``     a fixed schedule, of another session or even: same dose, no listening
``random-phase``  the same decisions at a phase that is drawn for each
``sham``          decisions made and logged, no current
"""

from __future__ import annotations

import random
from typing import Final, Literal, get_args

from analysis.errors import AnalysisError
from analysis.loop_terms import TURN

__all__ = ["CONTROLS", "Control", "checked_control", "offset_rad"]

Control = Literal["closed", "open-loop", "random-phase", "sham"]
CONTROLS: Final[tuple[str, ...]] = get_args(Control)


def checked_control(text: str) -> Control:
    """Return a control by its name.

    Raises
    ------
    AnalysisError
        There is none of that name.
    """
    for known in get_args(Control):
        if text == known:
            return known  # type: ignore[no-any-return]
    raise AnalysisError(f"control {text!r}: write one of {', '.join(CONTROLS)}")


def offset_rad(control: Control, seed: int, number: int) -> float:
    """What is added to the target phase of decision ``number``; drawn anew for each, or 0.

    The same seed and number give the same offset, in any order.
    """
    if control != "random-phase":
        return 0.0
    return random.Random(f"{seed}/{number}").uniform(0.0, TURN)
