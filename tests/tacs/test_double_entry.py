"""Settings typed twice: what agrees, what differs, and what a difference is said to be."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacs.by_hand import sheet_of
from tacs.double_entry import Entry, ask_twice, differences, read_value
from tacs.errors import InputError
from tests.tacs.hand import hand_rig, read_back
from tests.tacs.made import protocol

MADE, RIG = protocol(), hand_rig()
SHEET = sheet_of(MADE, RIG)


def told(first: dict[str, str], second: dict[str, str] | None = None) -> list[str]:
    entries = (
        read_back(MADE, RIG, "A. Lovelace", **first),
        read_back(MADE, RIG, "G. Hopper", **(first if second is None else second)),
    )
    return [str(breach) for breach in differences(SHEET, entries)]


def test_two_entries_that_are_the_sheet_agree():
    assert told({}) == []


@pytest.mark.parametrize(
    ("key", "typed"),
    [
        ("frequency", "10.27Hz"),
        ("frequency", " 10.270 hz "),
        ("channel_1_amplitude", "2 mA"),
        ("channel_1_amplitude", "2.000 mA pp"),
        ("channel_1_amplitude", "2.000 mApp"),
        ("channel_1_amplitude", "2.0 ma p-p"),
        ("channel_1_amplitude", "2.0 mA peak-to-peak"),
        ("channel_1_phase", "0°"),
        ("channel_1_electrodes", "Oz Cz"),
        ("channel_1_electrodes", "oz/cz"),
        ("waveform", "SINE"),
    ],
)
def test_spellings_of_the_same(key: str, typed: str):
    assert told({key: typed}) == []


@pytest.mark.parametrize(
    ("key", "typed", "says"),
    [
        ("frequency", "10.28 Hz", "10.28 Hz, allowed 10.27 Hz"),
        ("frequency", "10.27", "its unit is missing"),
        ("frequency", "10.27 kHz", "the panel shows Hz, not kHz"),
        ("frequency", "10,27 Hz", "write a decimal point"),
        ("frequency", "ten", "no number"),
        ("frequency", "10.27 Hz pp", "only a current is peak or peak-to-peak"),
        ("frequency", "10.27 of Hz here", "is no unit"),
        ("channel_1_amplitude", "1.000 mA", "half the current; is peak mixed up"),
        ("channel_1_amplitude", "4.000 mA", "TWICE the current"),
        ("channel_1_amplitude", "1.000 mA peak", "the panel's number is peak-to-peak"),
        ("channel_1_amplitude", "2000 µA", "the panel shows mA, not µA"),
        ("channel_1_electrodes", "Cz-Oz", "Cz-Oz, allowed Oz-Cz"),
        ("waveform", "square", "square, allowed sine"),
        ("duration", "1155 min", "the panel shows s, not min"),
    ],
)
def test_a_difference_is_told_for_both_people(key: str, typed: str, says: str):
    found = told({key: typed})
    assert len(found) == 2
    assert "first entry (A. Lovelace)" in found[0]
    assert "second entry (G. Hopper)" in found[1]
    assert all(says in line for line in found)
    assert all("the two entries differ" not in line for line in found)


def test_entries_that_differ_from_each_other():
    (line,) = told({}, {"channel_1_phase": "90 deg"})
    assert "channel 1 phase, second entry (G. Hopper); the two entries differ" in line
    first, second = told({"frequency": "10.2 Hz"}, {"frequency": "10.3 Hz"})
    assert "the two entries differ" in first
    assert "the two entries differ" in second


def test_every_difference_is_listed_at_once():
    found = told({"frequency": "9 Hz", "ramp_up": "3 s", "channel_1_amplitude": "3 mA"})
    assert len(found) == 6


def test_a_missing_and_an_unknown_setting():
    short = read_back(MADE, RIG)
    fewer = Entry(by="A", settings={k: v for k, v in short.settings.items() if k != "ramp_up"})
    more = read_back(MADE, RIG, "B", gain="3 dB")
    lines = [str(breach) for breach in differences(SHEET, (fewer, more))]
    assert len(lines) == 2
    assert "write ramp_up" in lines[0]
    assert "gain, second entry (B)" in lines[1]
    assert "not a setting of this session" in lines[1]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_two_entries_are_needed(n: int):
    (breach,) = differences(SHEET, [read_back(MADE, RIG)] * n)
    assert (breach.value, breach.allowed) == (f"{n} entries", "two entries")


@given(st.decimals(0, 10**6, places=4), st.sampled_from(["Hz", "mA", "s", "deg", "ms", "mHz"]))
def test_what_is_typed_is_what_is_read(number, unit: str):
    reading = read_value(f"{number} {unit}")
    assert (reading.number, reading.unit, reading.kind) == (Fraction(str(number)), unit, "")


@given(st.text(max_size=30))
def test_any_text_is_a_value_or_a_reason(text: str):
    try:
        told = read_value(text).unit
    except ValueError as exc:
        told = str(exc)
    assert told


def test_an_entry_from_a_file(tmp_path: Path):
    path = tmp_path / "entry.toml"
    path.write_text('by = "A"\n[settings]\nfrequency = "10.27 Hz"\n', encoding="utf-8")
    assert Entry.from_toml(path).settings == {"frequency": "10.27 Hz"}
    path.write_text("[settings]\nfrequency = 10.27\n", encoding="utf-8")
    with pytest.raises(InputError, match="by: missing") as problems:
        Entry.from_toml(path)
    assert "settings.frequency: must be a text in quotes" in str(problems.value)


def test_two_people_are_asked_without_the_values_of_the_other():
    answers = iter(["A. Lovelace", *["x"] * 8, "G. Hopper", *["y"] * 8])
    questions: list[str] = []
    said: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        return next(answers)

    first, second = ask_twice(SHEET, ask, said.append)
    assert (first.by, second.by) == ("A. Lovelace", "G. Hopper")
    assert set(second.settings.values()) == {"y"}
    assert len(said) == 2
    assert not any(s.text in q for s in SHEET.settings if s.number for q in questions)
    with pytest.raises(InputError, match="need the name"):
        ask_twice(SHEET, lambda question: " ", said.append)
