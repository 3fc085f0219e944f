"""The scripted people at an emulated stimulator without remote control, and what they do wrong.

They hear what the suite asks of the operator, work the emulated panel, and answer with the same
words through the same inbox as a person at the keyboard. They know the suite's sheet and the
panel's keys, and nothing of the session.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from devices.emulators.bench import DeviceBench
from devices.emulators.common_faults import ELECTRODE_FAULTS, STIMULATOR_FAULTS
from devices.emulators.faults import FaultKind, duration, nothing, parse_faults
from devices.emulators.manual_panel import PanelFirmware
from devices.transport import Transport
from tacs.errors import InputError, LinkLost

__all__ = ["FAULTS", "ScriptedPerson", "type_settings"]

REACTION_S = 1.0  # from hearing what to do to the key
WORD_AFTER_S = 0.2  # from the key to the word
ANSWER_S = 1.0
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")

AnyBench = DeviceBench[PanelFirmware]


def _of_people(bench: AnyBench, value: object, now_s: float) -> None:
    """Nothing happens to the device: it is a person who does it."""


def _key(text: str, contacts: Sequence[str]) -> str:
    """Read the name of a setting."""
    if not re.fullmatch(r"[a-z_0-9]+", text):
        raise ValueError(f"{text!r} is no setting, such as frequency or channel_1_amplitude")
    return text


def _person(sentence: str, read: Any = nothing, default: str | None = "") -> FaultKind[AnyBench]:
    return FaultKind(sentence, _of_people, read, default, timed=False)


PEOPLE: Mapping[str, FaultKind[AnyBench]] = {
    "wrong_entry": _person(
        "both people type the setting VALUE twice as large as it is", _key, "frequency"
    ),
    "second_differs": _person(
        "the second person types the setting VALUE twice as large", _key, "frequency"
    ),
    "set_wrong": _person(
        "the device is set to twice the setting VALUE, and the right one is typed: nothing can "
        "tell",
        _key,
        "channel_1_amplitude",
    ),
    "late_start": _person("the device is started VALUE seconds after the word", duration, None),
    "late_word": _person("the word comes VALUE seconds after the device's start", duration, None),
    "no_start": _person("nobody starts the device, and nobody says a word"),
    "slow_stop": _person("it takes VALUE seconds until somebody presses stop", duration, None),
    "forgets_stop": _person("nobody presses stop, and nobody says a word"),
    "false_silent": _person("somebody says silent without pressing stop: nothing can tell"),
}

FAULTS: Mapping[str, FaultKind[AnyBench]] = {**ELECTRODE_FAULTS, **STIMULATOR_FAULTS, **PEOPLE}


def _mistakes(faults: Sequence[str], contacts: Sequence[str]) -> dict[str, Any]:
    """What the people do wrong, by name."""
    names = {id(kind): name for name, kind in PEOPLE.items()}
    found = parse_faults(faults, FAULTS, contacts, monitored=False)
    return {names[id(f.kind)]: f.value for f in found if id(f.kind) in names}


def type_settings(
    sheet: Mapping[str, str], faults: Sequence[str], contacts: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return what two people type, given what the panel shows.

    Raises
    ------
    InputError
        A fault that cannot be.
    """
    wrong = _mistakes(faults, contacts)
    both = [wrong["wrong_entry"]] if "wrong_entry" in wrong else []
    second = [wrong["second_differs"]] if "second_differs" in wrong else []
    return _twice(sheet, both), _twice(sheet, both + second)


def _twice(sheet: Mapping[str, str], keys: Sequence[str]) -> dict[str, str]:
    """Settings with some of the numbers doubled; a word is turned around."""
    found = dict(sheet)
    for key in keys:
        if key not in found:
            raise InputError(f"fault: {key} is no setting of this session: {', '.join(found)}")
        text = found[key]
        number = _NUMBER.match(text)
        if number is None:
            found[key] = "-".join(reversed(text.split("-")))
            continue
        decimals = len(number[0].partition(".")[2])
        found[key] = f"{2 * float(number[0]):.{decimals}f}{text[number.end() :]}"
    return found


class ScriptedPerson:
    """Somebody who sets the emulated device, starts it and stops it when told to.

    Parameters
    ----------
    reach : callable
        Gives the way to the panel; called once, when the device is set.
    faults : sequence of str
        What the person does wrong; others are left out.
    contacts : sequence of str
        Attached electrodes.
    """

    def __init__(
        self, reach: Callable[[], Transport], faults: Sequence[str], contacts: Sequence[str]
    ) -> None:
        self._reach = reach
        self._wrong = _mistakes(faults, contacts)
        self._panel: Transport | None = None
        self._asked = ""
        self._agenda: list[tuple[float, str]] = []

    def set_up(self, settings: Mapping[str, str]) -> None:
        """Set the device as the settings say.

        Raises
        ------
        InputError
            The panel does not take one of them.
        """
        self._panel = self._reach()
        wrong = [self._wrong["set_wrong"]] if "set_wrong" in self._wrong else []
        for key, text in _twice(settings, wrong).items():
            answer = self._press(f"SET {key}={text}", wait=True)
            if answer != "OK":
                raise InputError(f"the emulated panel: {key} = {text!r}: {answer}")

    def hear(self, word: str, now_s: float) -> list[str]:
        """Hear which word the operator is asked for, or none; return the words said by now."""
        if word != self._asked:
            self._asked = word
            self._plan(word, now_s)
        due = [act for at_s, act in self._agenda if at_s <= now_s]
        self._agenda = [entry for entry in self._agenda if entry[0] > now_s]
        for act in due:
            if act.isupper():
                self._press(act)
        return [act for act in due if not act.isupper()]

    def leave(self) -> None:
        """Let go of the panel."""
        if self._panel is not None:
            self._panel.close()

    def _plan(self, word: str, now_s: float) -> None:
        """What the person does about what was just asked."""
        wrong, key_s = self._wrong, now_s + REACTION_S
        if word == "started" and "no_start" not in wrong:
            says_s = key_s + wrong.get("late_word", WORD_AFTER_S)
            self._agenda += [(key_s + wrong.get("late_start", 0.0), "START"), (says_s, "started")]
        elif word == "silent":
            key_s = now_s + wrong.get("slow_stop", REACTION_S)
            self._agenda = []
            if "forgets_stop" in wrong:
                return
            if "false_silent" not in wrong:
                self._agenda.append((key_s, "STOP"))
            self._agenda.append((key_s + ANSWER_S, "silent"))

    def _press(self, line: str, *, wait: bool = False) -> str:
        """Do one thing at the panel; return its answer where that is waited for."""
        if self._panel is None:
            return ""
        with contextlib.suppress(LinkLost):  # a hand that reaches nothing
            self._panel.write(line.encode() + b"\n")
            answer = b""
            while wait and not answer.endswith(b"\n"):
                more = self._panel.read(1, 2.0)
                if not more:
                    break
                answer += more
            return answer.decode("utf-8", "replace").strip()
        return ""
