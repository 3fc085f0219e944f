"""The saved peak: what was written is read back, and nothing else is."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import AnalysisError
from analysis.estimate import ChannelPeak, CrossCheck, Peak, PeakEstimate, Stability
from analysis.peakfile import KEYS, OPTIONAL_KEYS

numbers = st.floats(-1e6, 1e6, allow_nan=False)
positive = st.floats(1e-3, 1e3, allow_nan=False)
flags = st.booleans()
texts = st.text(min_size=1, max_size=8)
dates = st.datetimes(timezones=st.timezones()).map(lambda date: date.isoformat())
json_values = st.recursive(
    st.none() | flags | st.integers(-(2**40), 2**40) | numbers | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
channel_peaks = st.builds(
    ChannelPeak, texts, flags, numbers, st.none() | positive, st.none() | positive
)
bounds = st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))
halves = st.builds(
    Stability,
    st.none() | positive,
    st.none() | positive,
    st.none() | numbers,
    st.none() | bounds,
    st.none() | numbers,
    st.none() | flags,
)


@st.composite
def estimates(draw: st.DrawFn) -> PeakEstimate:
    """Any estimate that makes sense: found or not, one peak or two, old fields or all."""
    status: Any = draw(st.sampled_from(["found", "found", "found", "no_peak", "unusable"]))
    found, replication = status == "found", draw(flags)
    hz = draw(positive)
    count = draw(st.integers(0, 2)) if found else 0
    first = Peak(hz, draw(numbers), 1.0, draw(positive))
    second = Peak(draw(positive), draw(numbers), draw(st.floats(0.01, 1.0)), draw(positive))
    with_interval = found and count < 2 and not (replication and draw(flags))
    interval = (hz * draw(st.floats(0.1, 1.0)), hz * draw(st.floats(1.0, 3.0)))
    numbered = found and not (replication and draw(flags))
    low_hz = draw(positive)
    return PeakEstimate(
        status=status,
        frequency_hz=hz if found else None,
        ci95_hz=interval if with_interval else None,
        center_of_gravity_hz=draw(positive) if numbered else None,
        prominence_db=draw(numbers) if numbered else None,
        n_channels_used=draw(st.integers(0, 300)),
        channels=tuple(draw(st.lists(texts, max_size=3))),
        seconds_used=draw(numbers),
        aperiodic_exponent=draw(st.none() | numbers),
        warnings=tuple(draw(st.lists(texts, max_size=3))),
        reasons=tuple(draw(st.lists(texts, max_size=3))),
        subject=draw(st.none() | texts),
        recording=draw(st.none() | texts),
        recording_sha256=draw(st.none() | texts),
        measured_at=draw(dates),
        recorded_at=draw(st.none() | dates),
        method=draw(texts),
        band_hz=(low_hz, low_hz + draw(positive)),
        provisional=draw(flags),
        replication=replication,
        peaks=(first, second)[:count],
        channel_table=tuple(draw(st.lists(channel_peaks, max_size=3))),
        stability=draw(st.none() | halves),
        aperiodic_knee_hz=draw(st.none() | positive),
        cross_check=draw(st.none() | st.builds(CrossCheck, texts, st.none() | positive, flags)),
        quality=draw(st.none() | st.dictionaries(texts, json_values, max_size=3)),
    )


@settings(max_examples=200, deadline=None, database=None)
@given(estimate=estimates())
def test_what_was_written_is_read_back(estimate: PeakEstimate) -> None:
    data = estimate.to_dict()
    assert set(data) == KEYS | OPTIONAL_KEYS
    assert PeakEstimate.from_dict(data) == estimate
    again = PeakEstimate.from_dict(json.loads(json.dumps(data, allow_nan=False)))
    assert again == estimate
    assert again.to_dict() == data


def full() -> dict[str, Any]:
    """A file with everything in it."""
    return PeakEstimate(
        status="found",
        frequency_hz=10.0,
        ci95_hz=(9.8, 10.2),
        center_of_gravity_hz=10.1,
        prominence_db=9.0,
        n_channels_used=2,
        channels=("O1", "O2"),
        seconds_used=120.0,
        aperiodic_exponent=1.2,
        warnings=(),
        reasons=(),
        subject="01",
        recording="rest.edf",
        recording_sha256="0" * 64,
        measured_at="2026-03-01T09:30:00+00:00",
        recorded_at=None,
        method="made",
        band_hz=(6.0, 14.0),
        provisional=True,
        replication=False,
        peaks=(Peak(10.0, 9.0, 1.0, 0.9),),
        channel_table=(ChannelPeak("O1", True, 8.0, 10.1, 0.1),),
        stability=Stability(9.9, 10.1, 0.2, (-0.1, 0.5), None, True),
        aperiodic_knee_hz=4.0,
        cross_check=CrossCheck("fooof", 10.1, True),
        quality={"usable": True, "spans": [[1.0, 2.0]]},
    ).to_dict()


def split() -> dict[str, Any]:
    """A file with a split peak."""
    data = {**full(), "ci95_hz": None}
    second = {"frequency_hz": 8.1, "prominence_db": 8.0, "relative_height": 0.9, "width_hz": 0.8}
    return {**data, "peaks": [*data["peaks"], second]}


def refusal(data: Any) -> str:
    """The one line that refuses this file."""
    with pytest.raises(AnalysisError) as caught:
        PeakEstimate.from_dict(data)
    text = str(caught.value)
    assert text.startswith("peak file: ")
    assert "\n" not in text
    return text


def test_a_file_written_before_has_the_defaults() -> None:
    old = {key: value for key, value in full().items() if key in KEYS}
    read = PeakEstimate.from_dict(old)
    assert read.band_hz == (7.0, 13.0)
    assert not read.provisional
    assert not read.replication
    assert (read.peaks, read.channel_table) == ((), ())
    empty = (read.stability, read.aperiodic_knee_hz, read.cross_check, read.quality)
    assert empty == (None, None, None, None)


@pytest.mark.parametrize("dropped", sorted(OPTIONAL_KEYS))
def test_each_of_the_new_keys_may_be_missing(dropped: str) -> None:
    data = full()
    del data[dropped]
    read = PeakEstimate.from_dict(data).to_dict()
    rest = {key: value for key, value in read.items() if key != dropped}
    assert rest == data


@pytest.mark.parametrize("dropped", sorted(KEYS))
def test_the_other_keys_may_not(dropped: str) -> None:
    data = full()
    del data[dropped]
    assert f"key '{dropped}' is missing" in refusal(data)


def test_keys_that_nobody_knows() -> None:
    assert "unknown key 'surprise'" in refusal({**full(), "surprise": 1})
    assert "unknown key 7" in refusal({**full(), 7: 1, "surprise": 1})


SPOTS: list[tuple[tuple[Any, ...], str]] = [
    (("peaks", 0), "peaks[0]"),
    (("channel_table", 0), "channel_table[0]"),
    (("stability",), "stability"),
    (("cross_check",), "cross_check"),
]


@pytest.mark.parametrize(("spot", "name"), SPOTS)
def test_the_inner_objects_are_strict_too(spot: tuple[Any, ...], name: str) -> None:
    def inner(data: Any) -> Any:
        for step in spot:
            data = data[step]
        return data

    for key in list(inner(full())):
        data = full()
        del inner(data)[key]
        assert f"key {key!r} is missing in {name};" in refusal(data)
    data = full()
    inner(data)["surprise"] = 1
    assert f"unknown key 'surprise' in {name};" in refusal(data)


NOT_A_NUMBER = ["1", True, [1.0], float("nan"), float("inf"), 10**400]
WRONG: list[tuple[tuple[Any, ...], list[Any]]] = [
    (("band_hz",), [None, [7.0], [13.0, 7.0], [7.0, 7.0], [0.0, 7.0], [7.0, "x"], "7-13", {}]),
    (("provisional",), [None, 0, 1, "true"]),
    (("replication",), [None, 0, "false"]),
    (("peaks",), [None, {}, "x", [1], [None]]),
    (("peaks", 0, "frequency_hz"), [None, 0.0, -1.0, *NOT_A_NUMBER]),
    (("peaks", 0, "prominence_db"), [None, *NOT_A_NUMBER]),
    (("peaks", 0, "relative_height"), [None, 0.0, *NOT_A_NUMBER]),
    (("peaks", 0, "width_hz"), [None, 0.0, -0.5, *NOT_A_NUMBER]),
    (("channel_table",), [None, {}, [[]]]),
    (("channel_table", 0, "channel"), [None, "", 1]),
    (("channel_table", 0, "used"), [None, 1, "yes"]),
    (("channel_table", 0, "prominence_db"), [None, *NOT_A_NUMBER]),
    (("channel_table", 0, "frequency_hz"), [0.0, *NOT_A_NUMBER]),
    (("channel_table", 0, "sd_hz"), [-0.1, *NOT_A_NUMBER]),
    (("stability",), [[], 1, "stable", True]),
    (("stability", "first_hz"), [0.0, *NOT_A_NUMBER]),
    (("stability", "second_hz"), [-1.0, *NOT_A_NUMBER]),
    (("stability", "difference_hz"), NOT_A_NUMBER),
    (("stability", "ci95_difference_hz"), [1.0, [1.0], [2.0, 1.0], [None, 1.0], [0.0, 10**400]]),
    (("stability", "drift_hz_per_min"), NOT_A_NUMBER),
    (("stability", "stable"), [0, "yes", []]),
    (("aperiodic_knee_hz",), [0.0, -1.0, *NOT_A_NUMBER]),
    (("cross_check",), [[], "fooof", False]),
    (("cross_check", "method"), [None, "", 3]),
    (("cross_check", "frequency_hz"), [0.0, *NOT_A_NUMBER]),
    (("cross_check", "agrees"), [None, 1, "yes"]),
    (("quality",), [[], "good", 1, True]),
    (("quality", "usable"), [float("nan"), 10**400, {1: 2}, {"a": [float("inf")]}, (1,), {1}]),
    (("frequency_hz",), [10**400, 0.0, -1.0]),
]


@pytest.mark.parametrize(
    ("spot", "value"), [(spot, value) for spot, values in WRONG for value in values]
)
def test_values_of_the_wrong_kind(spot: tuple[Any, ...], value: Any) -> None:
    data: dict[str, Any] = full()
    place: Any = data
    for step in spot[:-1]:
        place = place[step]
    place[spot[-1]] = value
    text = refusal(data)
    assert spot[0] in text
    assert str(spot[-1]) in text


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"frequency_hz": None}, "frequency_hz"),
        ({"ci95_hz": None}, "ci95_hz"),
        ({"center_of_gravity_hz": None}, "center_of_gravity_hz"),
        ({"prominence_db": None}, "prominence_db"),
        ({"ci95_hz": None, "peaks": []}, "ci95_hz"),
        ({"replication": True, "frequency_hz": None}, "frequency_hz"),
        ({"replication": True, "frequency_hz": 25.0}, "frequency_hz"),
        ({"status": "no_peak"}, "frequency_hz"),
        (
            {
                **dict.fromkeys(
                    ("frequency_hz", "ci95_hz", "center_of_gravity_hz", "prominence_db")
                ),
                "status": "no_peak",
            },
            "peaks",
        ),
    ],
)
def test_numbers_and_status_go_together(changes: dict[str, Any], named: str) -> None:
    assert refusal({**full(), **changes}).startswith(f"peak file: {named} is")


@pytest.mark.parametrize("lacking", ["ci95_hz", "center_of_gravity_hz", "prominence_db"])
def test_a_replication_may_lack_the_suites_own_numbers(lacking: str) -> None:
    data = {**full(), "replication": True, lacking: None}
    assert PeakEstimate.from_dict(data).to_dict() == data


def test_a_split_peak_has_two_frequencies_and_no_interval() -> None:
    read = PeakEstimate.from_dict(split())
    assert [item.frequency_hz for item in read.peaks] == [10.0, 8.1]
    assert read.ci95_hz is None
    assert "null where the peak is split" in refusal({**split(), "ci95_hz": [9.8, 10.2]})
    assert "that of peaks[0]" in refusal({**split(), "frequency_hz": 8.1})
    higher = copy.deepcopy(split())
    higher["peaks"][1]["relative_height"] = 1.1
    assert "highest peak first" in refusal(higher)
    three = split()
    assert "the two of a split peak" in refusal({**three, "peaks": three["peaks"] * 2})


def test_the_file_and_the_estimate_share_nothing() -> None:
    data = full()
    read = PeakEstimate.from_dict(data)
    data["quality"]["spans"][0][0] = 5.0
    assert read.quality == {"usable": True, "spans": [[1.0, 2.0]]}
