"""From a peak and a recipe to a protocol: matched, explained, or refused with every reason."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings

import tacs
from analysis.estimate import CrossCheck, Peak, Stability
from tacs.errors import FileProblems, InputError, NoAnswer, SafetyRefusal
from tacs.limits import effective_limits
from tacs.planning import Plan, load_recipe, make_plan, plan, read_peak
from tacs.protocol import Protocol
from tacs.recipe import Recipe
from tests.data import recording
from tests.tacs.made import capabilities, no_peak, numbers, peak

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def made(estimate: Any = None, recipe: str | Recipe = "posterior-alpha", **options: Any) -> Plan:
    return make_plan(estimate or peak(), recipe, now=NOW, **options)


def limits_of(found: Plan) -> list[str]:
    return [breach.limit for breach in found.breaches]


def changed(**rule: Any) -> Recipe:
    """The posterior recipe with another frequency rule."""
    data = load_recipe("posterior-alpha").to_data()
    data["frequency_rule"] = {"band_hz": [7.0, 13.0], **rule}
    return Recipe.from_data(data, "recipe")


def test_a_matched_plan() -> None:
    found = made(subject="01")
    assert found.ok
    assert found.frequency_hz == found.protocol.frequency_hz == found.achieved_frequency_hz == 10.27
    person = found.protocol.individual
    assert person is not None
    assert (person.subject, person.peak_hz, person.method) == ("01", 10.271, "made")
    assert person.ci95_hz == pytest.approx((10.121, 10.421))
    assert (person.recording, person.recording_sha256) == ("rest.edf", "0" * 64)
    assert person.measured_at == "2026-03-01T09:30:00+00:00"
    assert found.protocol.fallback_note is None
    assert found.protocol.recipe == "posterior-alpha"
    assert found.protocol.expected_effect.direction == "increase"
    assert (found.protocol.duration_s, found.protocol.ramp_up_s) == (1200.0, 30.0)


def test_every_choice_has_its_reason() -> None:
    reasons = "\n".join(made().reasons)
    for part in (
        "10.27 Hz: individual peak of 01, 10.271 Hz (95 % interval 10.12 to 10.42 Hz)",
        "no rig was named",
        "locking within 0.16 Hz of the true peak at 1 mA (k 2 /(s·mA) and r0 1 are assumed",
        "current zero-to-peak as in the recipe: 1 mA Oz-Cz",
        "published dose, for comparison: 20 min at the individual alpha peak",
        "predicted: increase of alpha power, posterior; evidence C/N: pilot, secondary or",
    ):
        assert part in reasons


def test_the_plan_as_json() -> None:
    data = made(rig="emulated-synthpal").to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert {"frequency_hz", "achieved_frequency_hz", "breaches", "cautions", "reasons"} <= set(data)
    assert data["protocol_sha256"] == Protocol.from_data(data["protocol"], "json").sha256()


@settings(max_examples=100, deadline=None, database=None)
@given(frequency_hz=numbers(7.2, 12.8))
def test_the_frequency_is_the_peak_to_a_hundredth(frequency_hz: float) -> None:
    found = make_plan(peak(frequency_hz), load_recipe("posterior-alpha"), now=NOW)
    assert abs(found.frequency_hz - frequency_hz) <= 0.005 + 1e-9
    assert found.frequency_hz == round(found.frequency_hz, 2)
    assert found.ok


def test_the_devices_grid_is_kept_beside_the_frequency_asked_for() -> None:
    found = made(rig="emulated-synthpal", capabilities=capabilities(frequency_step_hz=0.1))
    assert (found.frequency_hz, found.achieved_frequency_hz) == (10.27, 10.3)
    assert any("plays 10.3 Hz, +0.0300 Hz from the frequency asked for" in r for r in found.reasons)
    coarse = made(rig="emulated-synthpal", capabilities=capabilities(frequency_step_hz=0.5))
    assert coarse.achieved_frequency_hz == 10.5
    assert {"recipe_tolerance_hz", "frequency_error_hz"} <= set(limits_of(coarse))


def test_the_rigs_driver_brings_the_device() -> None:
    found = made(rig="emulated-synthpal")
    assert found.ok
    assert any(reason.startswith("synthpal plays 10.27 Hz") for reason in found.reasons)
    assert any("not been verified on hardware" in caution for caution in found.cautions)
    one_loop = made(recipe="bifrontal-alpha-depression", rig="emulated-synthpal-1loop")
    assert limits_of(one_loop) == ["wiring", "wiring"]


WHOLE_HERTZ = capabilities(name="coarse", frequency_step_hz=1.0)


def test_a_coarse_grid_is_refused_until_somebody_accepts_it() -> None:
    refused = made(peak(frequency_hz=10.27), capabilities=WHOLE_HERTZ)
    assert (refused.frequency_hz, refused.achieved_frequency_hz) == (10.27, 10.0)
    assert "recipe_tolerance_hz" in limits_of(refused)
    note = (
        "10 Hz instead of the individual 10.27 Hz (-0.27 Hz): coarse plays steps of 1 Hz; "
        "accepted: the only stimulator here"
    )
    taken = made(
        peak(frequency_hz=10.27), capabilities=WHOLE_HERTZ, grid_accepted="the only stimulator here"
    )
    assert (taken.frequency_hz, taken.achieved_frequency_hz) == (10.0, 10.0)
    assert taken.protocol.fallback_note == note
    assert taken.protocol.individual is not None
    assert taken.protocol.individual.peak_hz == 10.27
    assert f"not at the individual peak: {note}" in taken.cautions
    assert note in taken.reasons[0]
    assert "frequency_error_hz" not in limits_of(taken)


def test_a_grid_that_fits_needs_no_acceptance() -> None:
    taken = made(peak(frequency_hz=10.0), capabilities=WHOLE_HERTZ, grid_accepted="whatever")
    assert taken.protocol.fallback_note is None


@pytest.mark.parametrize(
    "options",
    [
        {"grid_accepted": "because"},
        {"grid_accepted": "  ", "capabilities": WHOLE_HERTZ},
        {
            "grid_accepted": "because",
            "capabilities": WHOLE_HERTZ,
            "frequency_hz": 10.2,
            "fallback_note": "control",
        },
    ],
)
def test_accepting_a_grid_needs_a_device_a_reason_and_a_peak(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="accepting a device's grid needs"):
        made(peak(frequency_hz=10.27), **options)


def test_an_offset_is_added_and_said() -> None:
    found = made(recipe=changed(rule="offset", offset_hz=-0.2))
    assert found.frequency_hz == 10.07
    assert found.protocol.individual is not None
    assert found.protocol.individual.peak_hz == 10.271
    assert "-0.2 Hz by the recipe" in found.reasons[0]


@pytest.mark.parametrize("status", ["no_peak", "unusable"])
def test_no_peak_is_no_plan(status: str) -> None:
    with pytest.raises(NoAnswer, match=f"{status}: no rhythm stands out; too short") as caught:
        made(no_peak(status))
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)


SPLIT = (Peak(10.4, 9.0, 1.0, 0.8), Peak(8.6, 8.1, 0.85, 0.7))


def split_peak(**changes: Any) -> Any:
    """Two peaks, the stronger one at 10.4 Hz."""
    return peak(10.4, ci95_hz=None, peaks=SPLIT, **changes)


@pytest.mark.parametrize("interval", [None, (10.2, 10.6)])
@pytest.mark.parametrize("order", [1, -1])
def test_a_split_peak_is_no_plan_until_it_is_confirmed(
    interval: tuple[float, float] | None, order: int
) -> None:
    peaks = SPLIT[::order]
    hz = peaks[0].frequency_hz
    estimate = replace(split_peak(), frequency_hz=hz, ci95_hz=interval, peaks=peaks)
    with pytest.raises(NoAnswer) as caught:
        made(estimate)
    text = str(caught.value)
    assert caught.value.exit_code == 3
    assert "\n" not in text
    for part in (
        "this one is split",
        "10.40 Hz",
        "8.60 Hz",
        f"take the stronger peak, {hz:.2f} Hz, and play {hz:g} Hz",
        f'--frequency-hz {hz:g} --fallback-note "',
    ):
        assert part in text
    confirmed = made(estimate, frequency_hz=hz, fallback_note="split peak, on purpose")
    assert confirmed.ok
    assert confirmed.frequency_hz == hz
    assert confirmed.protocol.individual is None
    assert confirmed.protocol.fallback_note == f"fixed {hz:g} Hz, split peak, on purpose"


def test_a_split_peak_is_named_with_the_recipes_offset() -> None:
    with pytest.raises(
        NoAnswer, match=r"stronger peak, 10\.40 Hz, and play 10\.2 Hz.*--frequency-hz 10\.2 "
    ):
        made(split_peak(), recipe=changed(rule="offset", offset_hz=-0.2))


@pytest.mark.parametrize(
    "changes",
    [
        {"replication": True},
        {"method": "corcoran-replication"},
        {"replication": True, "peaks": SPLIT, "frequency_hz": 10.4},
        {"replication": True, "peaks": SPLIT, "frequency_hz": 10.4, "ci95_hz": (10.0, 10.8)},
        {"replication": True, "center_of_gravity_hz": None, "prominence_db": None},
    ],
)
def test_a_replication_without_interval_is_refused_like_one_with_it(
    changes: dict[str, Any],
) -> None:
    for do in (made, lambda estimate: plan(estimate, "posterior-alpha", now=NOW)):
        with pytest.raises(SafetyRefusal) as caught:
            do(replace(peak(ci95_hz=None), **changes))
        assert [breach.limit for breach in caught.value.breaches] == ["peak_method"]
        assert caught.value.exit_code == 4
        assert "\n" not in str(caught.value)


def test_a_replication_without_a_peak_is_no_answer() -> None:
    with pytest.raises(NoAnswer, match="there is none"):
        made(no_peak(replication=True))


def test_a_peak_without_its_interval_is_no_answer() -> None:
    with pytest.raises(NoAnswer, match=r"the one at 10\.27 Hz has none"):
        made(peak(ci95_hz=None))


def test_a_provisional_peak_is_planned_with_its_warning() -> None:
    found = made(peak(provisional=True, seconds_used=45.0))
    assert found.ok
    told = [reason for reason in found.reasons if reason.startswith("provisional")]
    assert len(told) == 1
    assert "45 s of signal" in told[0]
    assert told[0] in found.cautions
    assert not any("provisional" in text for text in (*made().reasons, *made().cautions))


MOVED = Stability(9.8, 10.6, 0.8, (0.3, 1.3), 0.4, False)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (
            {"stability": MOVED},
            ("not stable", "9.80 Hz in the first half", "10.60 Hz in the second", "+0.30 to +1.30"),
        ),
        (
            {"stability": replace(MOVED, first_hz=None, ci95_difference_hz=None)},
            ("no peak in the first half", "10.60 Hz in the second"),
        ),
        (
            {"cross_check": CrossCheck("fooof", 9.1, False)},
            ("fooof disagrees", "9.10 Hz", "10.27 Hz"),
        ),
        ({"cross_check": CrossCheck("fooof", None, False)}, ("fooof disagrees", "no peak")),
    ],
)
def test_a_doubtful_peak_is_planned_with_a_caution(
    changes: dict[str, Any], parts: tuple[str, ...]
) -> None:
    found = made(replace(peak(), **changes))
    assert found.ok
    assert len(found.cautions) == 1
    for part in parts:
        assert part in found.cautions[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"stability": replace(MOVED, stable=True)},
        {"stability": replace(MOVED, stable=None)},
        {"cross_check": CrossCheck("fooof", 10.2, True)},
        {"peaks": SPLIT[:1]},
        {"band_hz": (8.0, 12.0), "aperiodic_knee_hz": 3.0, "quality": {"usable": True}},
    ],
)
def test_a_peak_without_doubts_has_no_caution(changes: dict[str, Any]) -> None:
    found = made(replace(peak(), **changes))
    assert found.ok
    assert found.cautions == ()


@pytest.mark.parametrize(
    "estimate",
    [
        split_peak(),
        split_peak(replication=True),
        peak(10.4, replication=True, ci95_hz=None, prominence_db=None),
        peak(10.4, provisional=True, stability=MOVED),
        peak(10.4, cross_check=CrossCheck("fooof", 9.1, False)),
    ],
)
def test_a_fixed_frequency_is_not_concerned_by_doubts_about_the_peak(estimate: Any) -> None:
    found = made(estimate, "bifrontal-10hz-depression", subject="01")
    plain = made(peak(10.4), "bifrontal-10hz-depression", subject="01")
    assert found.ok
    assert (found.protocol, found.cautions, found.reasons) == (
        plain.protocol,
        plain.cautions,
        plain.reasons,
    )


def test_no_peak_file_is_bad_usage() -> None:
    with pytest.raises(InputError, match="needs an individual peak: give --peak"):
        make_plan(None, "posterior-alpha", now=NOW)


@pytest.mark.parametrize(
    ("estimate", "note"),
    [
        (None, "fixed 10 Hz, no individual peak"),
        (no_peak(), "fixed 10 Hz, no individual peak"),
        (
            peak(10.4),
            "fixed 10 Hz, not matched to the individual peak of 10.40 Hz (-0.40 Hz from it)",
        ),
    ],
)
def test_a_fixed_frequency_is_never_silent(estimate: Any, note: str) -> None:
    found = make_plan(estimate, "bifrontal-10hz-depression", now=NOW, subject="01")
    assert found.ok
    assert found.frequency_hz == 10.0
    assert found.protocol.individual is None
    assert found.protocol.fallback_note == note
    assert found.reasons[0] == note
    assert f"not individualized: {note}" in found.cautions


def test_a_fixed_frequency_beside_somebody_elses_peak_is_refused() -> None:
    found = made(peak(10.4), "bifrontal-10hz-depression", subject="02")
    assert limits_of(found) == ["peak_subject"]


def test_a_person_may_name_a_frequency_with_a_reason() -> None:
    found = made(no_peak(), frequency_hz=10.0, fallback_note="no peak in two recordings")
    assert found.ok
    assert found.protocol.fallback_note == "fixed 10 Hz, no peak in two recordings"
    assert found.protocol.individual is None
    outside = made(frequency_hz=40.0, fallback_note="control frequency")
    assert limits_of(outside) == ["recipe_band_hz"]


@pytest.mark.parametrize(
    "options",
    [
        {"frequency_hz": 10.0},
        {"fallback_note": "because"},
        {"frequency_hz": 10.0, "fallback_note": "  "},
        {"frequency_hz": math.nan, "fallback_note": "because"},
        {"frequency_hz": -1.0, "fallback_note": "because"},
        {"frequency_hz": math.inf, "fallback_note": "because"},
    ],
)
def test_a_frequency_and_its_reason_go_together(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        made(no_peak(), **options)


@pytest.mark.parametrize(
    ("changes", "options", "expected"),
    [
        ({"frequency_hz": 6.9}, {}, ["recipe_band_hz"]),
        ({"frequency_hz": 13.1}, {}, ["recipe_band_hz"]),
        ({"ci95_hz": (9.0, 11.01)}, {}, ["peak_interval_hz"]),
        ({"ci95_hz": (11.0, 9.0)}, {}, ["peak_interval_hz"]),
        ({"ci95_hz": (9.3, 11.3)}, {}, []),
        ({"method": "corcoran-replication"}, {}, ["peak_method"]),
        ({"replication": True}, {}, ["peak_method"]),
        ({"method": "corcoran-replication", "replication": True}, {}, ["peak_method"]),
        ({}, {"subject": "02"}, ["peak_subject"]),
        ({"subject": None}, {"subject": "01"}, ["peak_subject"]),
        ({"subject": None}, {}, []),
        ({"measured_at": "2026-02-08T00:00:00+00:00"}, {}, ["peak_age_d"]),
        ({"measured_at": "2026-04-01T00:00:00+00:00"}, {}, ["peak_measured_at"]),
        ({}, {"current_peak_ma": 1.2}, ["electrode_current_peak_ma"] * 2),
        (
            {"frequency_hz": 13.5, "ci95_hz": (12.0, 15.0), "method": "replication"},
            {"subject": "02", "current_peak_ma": 1.2},
            [
                "recipe_band_hz",
                "peak_interval_hz",
                "peak_method",
                *["electrode_current_peak_ma"] * 2,
                "peak_subject",
            ],
        ),
    ],
)
def test_a_number_that_must_not_be_used_is_a_breach(
    changes: dict[str, Any], options: dict[str, Any], expected: list[str]
) -> None:
    estimate = replace(peak(), **changes)
    found = make_plan(estimate, "posterior-alpha", now=NOW, **options)
    assert limits_of(found) == expected
    assert found.ok == (not expected)
    for breach in found.breaches:
        assert breach.source
        assert "\n" not in str(breach)


def test_a_site_may_let_a_peak_live_longer(tmp_path: Path) -> None:
    old = peak(measured_at=(NOW - timedelta(days=100)).isoformat())
    assert limits_of(made(old)) == ["peak_age_d"]
    data = {"site": "a", "approved_by": "b", "reason": "c", "limits": {"peak_age_d": 120.0}}
    (tmp_path / "site.toml").write_text(tomli_w.dumps(data))
    assert made(old, limits=effective_limits(tmp_path / "site.toml")).ok


def test_an_old_date_in_the_header_is_said_and_not_refused() -> None:
    shifted = peak(recorded_at="1923-05-01T08:00:00+00:00")
    found = made(shifted)
    assert found.ok
    assert any("dated 1923-05-01" in r and "shifted on purpose" in r for r in found.reasons)
    fresh = made(peak(recorded_at="2026-03-01T08:00:00+00:00"))
    assert not any("dated" in reason for reason in fresh.reasons)


def test_warnings_of_the_peak_reach_the_operator() -> None:
    found = made(peak(warnings=("split peak: a second rhythm near 8.5 Hz",)))
    assert found.cautions == ("of the peak: split peak: a second rhythm near 8.5 Hz",)


def test_a_peak_of_data_in_memory_can_be_planned_with() -> None:
    found = made(peak(recording=None, recording_sha256=None))
    assert found.ok
    assert found.protocol.individual is not None
    assert found.protocol.individual.recording_sha256 == "not read from a file"


def test_another_current_goes_into_every_loop_and_is_said() -> None:
    found = made(recipe="bifrontal-alpha-depression", current_peak_ma=0.3)
    assert [loop.current_peak_ma for loop in found.protocol.montage.loops] == [0.3, 0.3]
    assert any("0.3 mA zero-to-peak in every loop was asked for" in r for r in found.reasons)
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(FileProblems, match="current_peak_ma"):
            made(current_peak_ma=wrong)


def test_a_reference_entry_is_not_run() -> None:
    data = {**load_recipe("posterior-alpha").to_data(), "executable": False}
    assert limits_of(made(recipe=Recipe.from_data(data, "recipe"))) == ["executable"]


def test_a_blinded_plan_carries_its_code() -> None:
    found = made().blinded("A")
    assert found.protocol.blinding is not None
    assert found.protocol.blinding.label == "A"
    with pytest.raises(FileProblems):
        made().blinded("arm a")


def test_plan_gives_the_protocol_or_every_breach() -> None:
    assert plan(peak(), "posterior-alpha", now=NOW) == made().protocol
    with pytest.raises(SafetyRefusal) as caught:
        plan(peak(6.0), "posterior-alpha", now=NOW, current_peak_ma=1.2)
    assert caught.value.exit_code == 4
    assert len(str(caught.value).splitlines()) == len(caught.value.breaches) == 3


def test_plan_is_one_public_function_away() -> None:
    fresh = peak(measured_at=datetime.now(UTC).isoformat())
    assert isinstance(tacs.plan(fresh, "posterior-alpha"), tacs.Protocol)


def test_a_peak_file_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "peak.json"
    for estimate in (peak(), no_peak()):
        path.write_text(json.dumps(estimate.to_dict()), encoding="utf-8")
        assert read_peak(path) == estimate


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "no such peak file"),
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not a text file"),
        (b"[1]", "expected one JSON object"),
        (b'{"status": "found"}', "is missing"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": 1, "a": 2}', "a key stands twice"),
        (b"[" * 100_000, "is not JSON"),
    ],
)
def test_a_bad_peak_file_is_one_line(tmp_path: Path, content: bytes | None, expected: str) -> None:
    path = tmp_path / "peak.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        read_peak(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "tacs peak" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("frequency_hz", None),
        ("frequency_hz", "10"),
        ("frequency_hz", True),
        ("ci95_hz", [10.0]),
        ("ci95_hz", [11.0, 12.0]),
        ("status", "perhaps"),
        ("measured_at", "yesterday"),
        ("measured_at", "2026-03-01T09:30:00"),
        ("method", None),
        ("surprise", 1),
    ],
)
def test_a_peak_file_that_was_tampered_with(tmp_path: Path, key: str, value: Any) -> None:
    path = tmp_path / "peak.json"
    path.write_text(json.dumps({**peak().to_dict(), key: value}))
    with pytest.raises(InputError, match="peak file"):
        read_peak(path)


def test_a_folder_is_no_peak_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_peak(tmp_path)


def test_a_real_recording_becomes_a_protocol() -> None:
    from analysis.io import load_recording
    from analysis.peak import find_peak

    loaded = load_recording(recording("eegmmidb_s001/S001R02.edf"))
    found = find_peak(loaded, subject="01", now=NOW)
    done = make_plan(found, "posterior-alpha", now=NOW, subject="01", rig="emulated-synthpal")
    assert done.ok
    assert done.frequency_hz == pytest.approx(9.96, abs=0.3)
    assert done.protocol.individual is not None
    assert done.protocol.individual.recording_sha256 == loaded.sha256
    assert any("dated 2009-08-12" in reason for reason in done.reasons)


def test_a_plan_asks_what_the_device_can_do_on_that_rig() -> None:
    found = made(rig="emulated-nidaq-unwatched")
    assert limits_of(found) == ["host_loss"]
    assert limits_of(made(rig="emulated-nidaq")) == []
