"""A peak measured before the session against the planned frequency."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given, settings

from analysis.estimate import CrossCheck, Peak, PeakEstimate, Stability
from tacs.errors import InputError
from tacs.matching import tongue_half_width_hz, tongue_reason
from tacs.planning import load_recipe, make_plan
from tacs.protocol import Protocol
from tacs.recipe import Recipe
from tacs.remeasure import Remeasurement, remeasure
from tests.tacs.made import individual_data, montage_data, no_peak, numbers, peak, protocol

WIDTH_HZ = 1.0
TONGUE_HZ = 2.0 * 1.0 / (4.0 * math.pi)
LIMIT_HZ = TONGUE_HZ + 0.5 * WIDTH_HZ


def now(frequency_hz: float = 10.3, half_hz: float = 0.15, **changes: Any) -> PeakEstimate:
    """A peak of the same person, in another recording two days later."""
    fields: dict[str, Any] = {
        "ci95_hz": (frequency_hz - half_hz, frequency_hz + half_hz),
        "peaks": (Peak(frequency_hz, 10.0, 1.0, WIDTH_HZ),),
        "recording": "before.edf",
        "recording_sha256": "1" * 64,
        "measured_at": "2026-03-03T09:30:00+00:00",
    }
    return peak(frequency_hz, **{**fields, **changes})


def planned(peak_hz: float = 10.271, **changes: Any) -> Protocol:
    """The posterior protocol of that person."""
    fields: dict[str, Any] = {
        "recipe": "posterior-alpha",
        "frequency_hz": round(peak_hz, 2),
        "individual": individual_data(peak_hz=peak_hz),
    }
    return protocol(**{**fields, **changes})


def fixed(**changes: Any) -> Protocol:
    """A protocol whose frequency does not follow a peak."""
    return protocol(frequency_hz=10.0, fallback_note="fixed 10 Hz, no individual peak", **changes)


def with_current(current_peak_ma: float) -> Protocol:
    return planned(montage=montage_data(("Oz", "Cz", current_peak_ma)))


def warned(found: Remeasurement, part: str) -> bool:
    return any(part in text for text in found.warnings)


# --- the numbers -----------------------------------------------------------------------------


def test_the_mismatch_and_its_limit() -> None:
    found = remeasure(now(10.0), planned())
    assert (found.planned_hz, found.played_hz, found.measured_hz) == (10.27, 10.27, 10.0)
    assert found.mismatch_hz == pytest.approx(0.27)
    assert found.ci95_mismatch_hz == pytest.approx((0.12, 0.42))
    assert found.tongue_half_width_hz == pytest.approx(TONGUE_HZ)
    assert found.rhythm_width_hz == WIDTH_HZ
    assert found.limit_hz == pytest.approx(LIMIT_HZ)
    assert found.since_planned_peak_d == 2.0
    assert "k 2 /(s·mA) and r0 1 are assumed, not measured" in found.prediction
    assert "half of the rhythm's width of 1.00 Hz: 0.66 Hz" in found.prediction


def test_the_largest_loop_drives_the_model() -> None:
    two = planned(montage=montage_data(("F3", "Cz", 0.5), ("F4", "Cz", 1.0)))
    assert remeasure(now(), two).tongue_half_width_hz == tongue_half_width_hz(two.montage)
    assert tongue_half_width_hz(two.montage) == pytest.approx(TONGUE_HZ)
    assert "within 0.16 Hz of the true peak at 1 mA" in tongue_reason(two.montage)


def test_without_the_width_the_limit_is_the_tongue_alone() -> None:
    found = remeasure(now(10.0, peaks=()), planned())
    assert found.rhythm_width_hz is None
    assert found.limit_hz == pytest.approx(TONGUE_HZ)
    assert warned(found, "width of the rhythm is not in the estimate")


def test_the_devices_grid_counts() -> None:
    found = remeasure(now(10.3), planned(), device_step_hz=0.5)
    assert (found.planned_hz, found.played_hz) == (10.27, 10.5)
    assert found.mismatch_hz == pytest.approx(0.2)
    for wrong in (0.0, -0.1, math.nan, math.inf):
        with pytest.raises(InputError, match="device_step_hz"):
            remeasure(now(), planned(), device_step_hz=wrong)


@settings(max_examples=200, deadline=None, database=None)
@given(planned_hz=numbers(7.5, 12.5), measured_hz=numbers(7.5, 12.5), half_hz=numbers(0.0, 2.0))
def test_the_sign_of_the_mismatch_and_the_verdict(
    planned_hz: float, measured_hz: float, half_hz: float
) -> None:
    found = remeasure(now(measured_hz, half_hz), planned(planned_hz))
    assert found.mismatch_hz is not None
    assert found.ci95_mismatch_hz is not None
    low_hz, high_hz = found.ci95_mismatch_hz
    assert found.mismatch_hz == found.planned_hz - measured_hz
    assert (found.mismatch_hz > 0.0) == (found.planned_hz > measured_hz)
    assert low_hz - 1e-9 <= found.mismatch_hz <= high_hz + 1e-9
    assert high_hz - low_hz == pytest.approx(2.0 * half_hz)
    inside = max(abs(low_hz), abs(high_hz)) <= LIMIT_HZ
    outside = min(abs(low_hz), abs(high_hz)) > LIMIT_HZ and low_hz * high_hz > 0.0
    assert found.verdict == ("keep" if inside else "retune" if outside else "undecided")
    assert (found.new_frequency_hz is not None) == outside
    assert found.exit_code == 0


@settings(max_examples=200, deadline=None, database=None)
@given(
    low_ma=numbers(0.01, 4.0),
    more_ma=numbers(0.0, 4.0),
    measured_hz=numbers(7.5, 12.5),
    half_hz=numbers(0.0, 1.0),
)
def test_more_current_never_narrows_the_limit(
    low_ma: float, more_ma: float, measured_hz: float, half_hz: float
) -> None:
    order = {"retune": 0, "undecided": 1, "keep": 2}
    weak = remeasure(now(measured_hz, half_hz), with_current(low_ma))
    strong = remeasure(now(measured_hz, half_hz), with_current(low_ma + more_ma))
    assert weak.limit_hz is not None
    assert strong.limit_hz is not None
    assert weak.tongue_half_width_hz <= strong.tongue_half_width_hz
    assert weak.limit_hz <= strong.limit_hz
    assert order[weak.verdict] <= order[strong.verdict]


@settings(max_examples=200, deadline=None, database=None)
@given(measured_hz=numbers(8.0, 12.5), half_hz=numbers(0.05, 1.5), seconds=numbers(30.0, 600.0))
def test_as_much_signal_as_advised_decides(
    measured_hz: float, half_hz: float, seconds: float
) -> None:
    found = remeasure(now(measured_hz, half_hz, seconds_used=seconds), planned())
    assume(found.verdict == "undecided")
    if "plan anew from the better" in found.advice:
        assert found.mismatch_hz is not None
        gap_hz = abs(LIMIT_HZ - abs(found.mismatch_hz))
        assert gap_hz <= half_hz * math.sqrt(seconds / 1200.0) + 1e-9
        return
    needed_s = float(found.advice.split("record about ")[1].split(" s ")[0])
    assert seconds < needed_s <= 1200.0
    narrower = half_hz * math.sqrt(seconds / (needed_s + 1e-6))
    again = remeasure(now(measured_hz, narrower * (1.0 - 1e-9)), planned())
    assert again.verdict in ("keep", "retune")


# --- the verdicts ----------------------------------------------------------------------------


def test_keep() -> None:
    found = remeasure(now(10.4), planned())
    assert found.verdict == "keep"
    assert "10.27 Hz is -0.13 Hz from the peak now" in found.advice
    assert "inside the limit of 0.66 Hz" in found.advice
    assert found.new_frequency_hz is None


def test_retune_names_the_frequency_and_the_command() -> None:
    found = remeasure(now(11.4), planned(), peak_file="my peaks/before.json")
    assert (found.verdict, found.new_frequency_hz, found.exit_code) == ("retune", 11.4, 0)
    assert found.advice.endswith(
        "plan anew, which gives 11.4 Hz: tacs plan --peak 'my peaks/before.json' "
        "--recipe posterior-alpha --subject 01 --out PROTOCOL.toml"
    )
    made = make_plan(now(11.4), "posterior-alpha", now=datetime(2026, 3, 3, 12, tzinfo=UTC))
    assert made.frequency_hz == found.new_frequency_hz


def test_a_protocol_without_recipe_or_name_says_what_is_to_be_filled_in() -> None:
    nameless = planned(recipe=None, individual=individual_data(subject=None))
    found = remeasure(now(11.4, subject=None), nameless)
    assert "--peak PEAK.json --recipe RECIPE --out PROTOCOL.toml" in found.advice
    assert warned(found, "does not name its person")


def test_the_advice_of_a_blinded_arm_does_not_name_it() -> None:
    for recipe in ("posterior-alpha", "posterior-alpha-sham"):
        found = remeasure(now(11.4), planned(recipe=recipe, blinding={"label": "B"}))
        assert "posterior-alpha" not in found.advice
        assert "--recipe RECIPE --subject 01 --blinding-label B" in found.advice


def test_an_offset_is_kept_and_said() -> None:
    data = load_recipe("posterior-alpha").to_data()
    data["frequency_rule"] = {"band_hz": [7.0, 13.0], "rule": "offset", "offset_hz": -0.2}
    recipe, when = Recipe.from_data(data, "recipe"), datetime(2026, 3, 3, 12, tzinfo=UTC)
    before = make_plan(peak(10.271), recipe, now=when).protocol
    found = remeasure(now(11.4), before)
    assert (found.planned_hz, found.new_frequency_hz) == (10.07, 11.2)
    assert make_plan(now(11.4), recipe, now=when).frequency_hz == 11.2
    assert warned(found, "put -0.2 Hz from its peak")


def test_where_a_new_plan_would_be_the_same_there_is_nothing_to_retune() -> None:
    far = planned(frequency_hz=11.27)
    found = remeasure(now(10.271), far)
    assert found.verdict == "keep"
    assert found.new_frequency_hz is None
    assert warned(found, "outside the predicted locking range and no plan mends that")


def test_undecided_says_how_long_to_record() -> None:
    found = remeasure(now(10.27 + LIMIT_HZ - 0.1, half_hz=0.2, seconds_used=60.0), planned())
    assert (found.verdict, found.exit_code) == ("undecided", 0)
    assert "across the limit of 0.66 Hz: record about 240 s of clean signal instead of 60 s" in (
        found.advice
    )
    close = remeasure(now(10.27 + LIMIT_HZ, half_hz=0.2), planned())
    assert "no recording of 20 min or less would decide" in close.advice
    assert remeasure(now(ci95_hz=None), planned()).verdict == "undecided"


def test_a_split_peak_is_undecided() -> None:
    both = (Peak(10.4, 9.0, 1.0, 0.8), Peak(8.6, 8.1, 0.85, 0.7))
    found = remeasure(now(10.4, ci95_hz=None, peaks=both), planned())
    assert (found.verdict, found.exit_code) == ("undecided", 0)
    assert "10.40 Hz and 8.60 Hz" in found.advice
    assert found.ci95_mismatch_hz is None


@pytest.mark.parametrize("status", ["no_peak", "unusable"])
def test_no_peak_is_no_silent_fallback(status: str) -> None:
    found = remeasure(no_peak(status, recording_sha256="1" * 64), planned())
    assert (found.verdict, found.exit_code) == (status, 3)
    assert "no rhythm stands out; too short" in found.advice
    assert "do not fall back silently" in found.advice
    numbers_now = (found.measured_hz, found.mismatch_hz, found.limit_hz, found.rhythm_width_hz)
    assert numbers_now == (None, None, None, None)
    free = remeasure(no_peak(status), fixed())
    assert (free.verdict, free.exit_code) == (status, 3)
    assert "does not depend on it" in free.advice


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"subject": "02"}, "the recording is of 02 and the protocol is for 01"),
        ({"recording_sha256": "0" * 64}, "the recording that the protocol was planned from"),
        ({"band_hz": (4.0, 8.0)}, "planned peak of 10.27 Hz lies outside the band searched now"),
        ({"replication": True}, "for comparison only"),
        ({"replication": True, "ci95_hz": None}, "for comparison only"),
        ({"method": "corcoran-replication"}, "for comparison only"),
    ],
)
@pytest.mark.parametrize("hz", [10.3, 11.9])
def test_a_recording_that_cannot_answer(changes: dict[str, Any], part: str, hz: float) -> None:
    found = remeasure(now(hz, **changes), planned())
    assert (found.verdict, found.exit_code) == ("unusable", 3)
    assert part in found.advice
    assert warned(found, part)
    assert found.measured_hz == hz
    assert found.new_frequency_hz is None
    assert "tacs plan" not in found.advice


@pytest.mark.parametrize("hz", [10.1, 12.5])
def test_beside_a_fixed_frequency_the_mismatch_is_information(hz: float) -> None:
    found = remeasure(now(hz, subject="02"), fixed())
    assert (found.verdict, found.individual, found.exit_code) == ("keep", False, 0)
    assert found.mismatch_hz == pytest.approx(10.0 - hz)
    assert "information only" in found.advice
    assert "fixed 10 Hz, no individual peak" in found.advice
    assert found.since_planned_peak_d is None
    assert found.new_frequency_hz is None
    assert found.warnings == ()


# --- what to keep in mind --------------------------------------------------------------------


def test_doubts_about_the_peak_are_passed_on() -> None:
    estimate = now(
        provisional=True,
        seconds_used=45.0,
        stability=Stability(9.8, 10.6, 0.8, (0.3, 1.3), None, False),
        cross_check=CrossCheck("fooof", 9.1, False),
    )
    found = remeasure(estimate, planned())
    assert found.verdict == "keep"
    for part in ("provisional", "9.80 Hz in the first half", "fooof disagrees"):
        assert warned(found, part)


def test_another_way_of_measuring_is_said() -> None:
    found = remeasure(now(method="made, 5-15 Hz", band_hz=(5.0, 15.0)), planned())
    assert warned(found, "'made' then, 'made, 5-15 Hz' now")
    assert not warned(remeasure(now(), planned()), "another way")


@pytest.mark.parametrize(
    ("measured_at", "days", "part"),
    [
        ("2026-04-15T09:30:00+00:00", 45.0, "45 days before this one"),
        ("2026-02-27T21:30:00+00:00", -1.5, "1.5 days before the planned one"),
        ("2026-03-03T11:30:00+02:00", 2.0, None),
    ],
)
def test_the_time_between(measured_at: str, days: float, part: str | None) -> None:
    found = remeasure(now(measured_at=measured_at), planned())
    assert found.since_planned_peak_d == days
    assert warned(found, part or "planned one") == (part is not None)


@pytest.mark.parametrize(
    ("then", "later", "part"),
    [
        ("a_task-restclosed_eeg.edf", "b_task-restopen_eeg.edf", "restclosed then, restopen now"),
        ("a_task-restclosed_eeg.edf", "b_task-restclosed_eeg.edf", "both recordings are restclo"),
        ("a.edf", "b_task-restclosed_eeg.edf", "nothing says that both"),
        ("a_task-restclosed_eeg.edf", None, "nothing says that both"),
    ],
)
def test_the_state(then: str, later: str | None, part: str) -> None:
    found = remeasure(now(recording=later), planned(individual=individual_data(recording=then)))
    assert warned(found, part)


def test_a_strong_current_is_beyond_what_was_compared() -> None:
    assert warned(remeasure(now(), with_current(4.0)), "at 4 mA is extrapolated")
    assert not warned(remeasure(now(), with_current(2.0)), "extrapolated")


@pytest.mark.parametrize(
    "estimate",
    [now(10.3), now(10.8), now(11.8), no_peak(reasons=("two\nlines",)), now(subject="02")],
)
def test_plain_json_and_one_line(estimate: PeakEstimate) -> None:
    for prescription in (planned(), fixed(), planned(recipe="a\nb"), replace_note(fixed())):
        found = remeasure(replace(estimate, method="made\nhere"), prescription)
        data = found.to_dict()
        assert json.loads(json.dumps(data, allow_nan=False)) == data
        for text in (found.advice, found.prediction, *found.warnings):
            assert text
            assert "\n" not in text


def replace_note(prescription: Protocol) -> Protocol:
    """The same with a note of two lines."""
    return Protocol.from_data({**prescription.to_data(), "fallback_note": "a\nb"}, "made")
