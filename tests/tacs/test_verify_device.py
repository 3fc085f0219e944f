"""The fault scenarios: what passes, and that each kind of verdict can fail."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

import tacs
import tacs.loop
from analysis.loop_drift import DeviceClock
from analysis.loop_signal import SignalWatch
from analysis.loop_stale import when_stale
from analysis.loop_terms import Carrier
from devices.analog import Chain
from devices.synthpal import SynthPal
from tacs import checking, conduct, readiness
from tacs.cli import call
from tacs.driver import find_emulator
from tacs.errors import InputError
from tacs.guard import GuardedDriver
from tacs.history import DoseHistory
from tacs.loop_leash import Leash
from tacs.record import RecordWriter
from tacs.scenarios.bench import Bench, after
from tacs.scenarios.evidence import Evidence, Row, Verdict
from tacs.scenarios.table import SCENARIOS
from tacs.verify_device import ROWS, Verification, verify_device
from tacs.watcher import Watcher

PLAIN, MONITORED = "emulated-synthpal", "emulated-synthpal-monitored"


def verify(*numbers: int, rig: str = PLAIN, **options: Any) -> dict[int, Verdict]:
    found = verify_device("emulated:synthpal", rig=rig, only=numbers, **options)
    return {check.scenario.number: check.verdict for check in found.checks}


def outcomes(*numbers: int, rig: str = PLAIN) -> dict[int, str]:
    return {number: verdict.outcome for number, verdict in verify(*numbers, rig=rig).items()}


# -- the table ------------------------------------------------------------------------------------


def test_every_one_of_the_47_scenarios_has_its_row():
    assert list(SCENARIOS) == list(range(1, 48))
    assert set(ROWS) == set(SCENARIOS)
    assert all(s.fault and s.required for s in SCENARIOS.values())


def test_every_fault_that_a_row_needs_is_one_of_the_emulators():
    known = find_emulator("synthpal").faults
    assert {name for row in ROWS.values() for name in row.needs} <= set(known)


# -- evidence -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, math.nan, math.inf, 2.1])
def test_a_number_that_is_missing_or_too_large_fails(value: float | None):
    proof = Evidence()
    proof.at_most("quiet_s", value, 2.0)
    verdict = proof.verdict()
    assert verdict.outcome == "fail"
    assert verdict.reason.startswith("quiet_s is ")
    assert verdict.bounds == {"quiet_s": "<= 2"}
    json.dumps(dict(verdict.figures), allow_nan=False)


@pytest.mark.parametrize("value", [None, math.nan, -math.inf, 1.9])
def test_a_number_that_is_missing_or_too_small_fails(value: float | None):
    proof = Evidence()
    proof.at_least("kept", value, 2.0)
    assert proof.verdict().outcome == "fail"


def test_nothing_compared_is_no_verdict():
    proof = Evidence()
    proof.note("quiet_s", 0.1)
    assert proof.verdict().outcome == "fail"
    assert proof.verdict().reason == "nothing was held against a requirement"


def test_a_named_monitor_turns_a_pass_into_caught_and_a_failure_stays_one():
    proof = Evidence()
    proof.equal("outcome", "fault", "fault")
    assert proof.verdict(monitor="overcurrent").outcome == "caught"
    proof.contains("cause", "x" * 1000, "wanted")
    verdict = proof.verdict(monitor="overcurrent", outcome="not_detectable")
    assert (verdict.outcome, verdict.monitor) == ("fail", None)
    assert len(verdict.reason) < 250


def test_what_is_not_listed_before_arming_was_not_shown():
    proof = Evidence()
    proof.shown_before_arming("phosphenes, drying; not detectable on this rig: swapped", "drying")
    assert proof.verdict(outcome="not_detectable").outcome == "fail"


def test_a_trace_that_ends_loud_or_too_soon_is_not_quiet(tmp_path: Path):
    run = Bench.of("emulated:synthpal", PLAIN, tmp_path).rehearse("P1", acts=[after(6.0, "stop:x")])
    assert run.quiet_after_s(6.0) == pytest.approx(0.76, abs=0.05)
    loud = dataclasses.replace(run, trace=run.part(0.0, 6.1))
    assert loud.quiet_after_s(6.0) == math.inf
    assert dataclasses.replace(run, trace=run.trace[:, :0]).quiet_after_s(6.0) == math.inf
    assert run.excess_ma() < 0.001
    twice = dataclasses.replace(run, trace=2.0 * run.trace)
    assert twice.excess_ma() > 0.5
    assert 0.19 < run.slew_ma_per_s() < 0.21
    assert 0.39 < twice.slew_ma_per_s() < 0.42


# -- rows -----------------------------------------------------------------------------------------


def test_rows_on_a_rig_that_measures_nothing():
    found = verify(5, 11, 18, 20, 40)
    assert {n: v.outcome for n, v in found.items()} == {
        5: "pass",
        11: "not_applicable",
        18: "not_detectable",
        20: "not_detectable",
        40: "pass",
    }
    assert 1.0 < float(found[5].figures["quiet_s"] or 0.0) <= 2.0
    assert found[18].figures["peak_ma_gain"] == pytest.approx(1.2, rel=0.01)
    assert found[18].figures["shown_before_arming"] == "yes"


def test_rows_on_a_rig_with_a_monitor_name_what_caught_them():
    found = verify(11, 20, 22, 23, 24, 28, rig=MONITORED)
    assert {n: v.outcome for n, v in found.items()} == dict.fromkeys(found, "caught")
    assert {n: v.monitor for n, v in found.items()} == {
        11: "monitor_foreign",
        20: "open_circuit",
        22: "impedance_step",
        23: "short_circuit",
        24: "compliance",
        28: "battery_low",
    }
    assert float(found[20].figures["quiet_s_leak"] or 1.0) <= 0.25


def test_rows_about_what_is_kept_on_disk():
    numbers = (25, 30, 31, 32, 33, 34, 42, 44, 46, 47)
    assert outcomes(*numbers) == dict.fromkeys(numbers, "pass")


def test_rows_of_a_closed_loop():
    found = verify(35, 36, 37, 38)
    assert {n: v.outcome for n, v in found.items()} == dict.fromkeys(found, "pass")
    # Held up to two seconds, then an ordinary ramp of two.
    assert 3.0 < float(found[35].figures["quiet_s_2.5s"] or 0.0) < 4.3
    assert float(found[37].figures["lag_sd_deg"] or 0.0) > 5.0
    json.dumps([dict(v.figures) for v in found.values()], allow_nan=False)


def test_a_device_that_no_lock_can_steer_has_no_row_of_one():
    found = verify_device("emulated:scpi", rig="emulated-scpi", only=(35,))
    assert [c.verdict.outcome for c in found.checks] == ["not_applicable"]
    assert "cannot change its frequency while it plays" in found.checks[0].verdict.reason


def test_a_row_on_the_real_clock(site_folder: Path):
    found = verify(1)[1]
    assert found.outcome == "pass", found.reason
    assert 1.0 < float(found.figures["quiet_s"] or 0.0) <= 2.0
    assert list(site_folder.iterdir()) == []


def test_quick_leaves_out_the_real_clock_and_says_so():
    found = verify(1, 9, quick=True)
    assert (found[1].outcome, found[9].outcome) == ("skipped", "pass")
    assert "--quick" in found[1].reason


def test_nothing_of_the_users_own_is_touched(site_folder: Path):
    verify(34, 44)
    assert list(site_folder.iterdir()) == []


def test_a_rig_with_one_loop_has_fewer_electrodes_to_lose(tmp_path: Path):
    assert outcomes(20, 22, rig="emulated-synthpal-1loop") == dict.fromkeys(
        (20, 22), "not_detectable"
    )


def test_a_row_whose_fault_the_emulator_does_not_know_does_not_apply(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(ROWS, 5, dataclasses.replace(ROWS[5], needs=("meteorite",)))
    verdict = verify(5)[5]
    assert verdict.outcome == "not_applicable"
    assert "meteorite" in verdict.reason


def test_an_error_in_a_row_fails_that_row_alone(monkeypatch: pytest.MonkeyPatch):
    def broken(bench: Bench) -> Verdict:
        raise ZeroDivisionError("of the scenario")

    monkeypatch.setitem(ROWS, 5, Row(run=broken))
    found = verify(5, 40)
    assert (found[5].outcome, found[40].outcome) == ("fail", "pass")
    assert found[5].reason == "ZeroDivisionError: of the scenario"


# -- sabotage: with a barrier gone, its rows must fail --------------------------------------------


def test_without_the_judge_the_faults_at_the_electrodes_fail(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Watcher, "look", lambda self, now_s: [])
    numbers = (17, 18, 19, 20, 21, 22, 24)
    assert outcomes(*numbers, rig=MONITORED) == dict.fromkeys(numbers, "fail")


def test_what_the_operator_is_not_told_is_not_excused(monkeypatch: pytest.MonkeyPatch):
    told = dataclasses.replace(SynthPal.capabilities, not_detectable=())
    monkeypatch.setattr(SynthPal, "capabilities", told)
    numbers = (18, 19, 20, 21, 22, 23, 24, 45)
    assert outcomes(*numbers) == dict.fromkeys(numbers, "fail")


def test_a_stop_that_is_ignored_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(GuardedDriver, "soft_stop", lambda self: None)
    assert outcomes(10, 39, 40) == dict.fromkeys((10, 39, 40), "fail")


def test_a_lease_that_does_not_run_out_fails(monkeypatch: pytest.MonkeyPatch):
    extend = SynthPal.extend_lease
    monkeypatch.setattr(
        SynthPal, "extend_lease", lambda self, elapsed_s, lease_s: extend(self, elapsed_s, 10.0)
    )
    numbers = (4, 5, 6, 26)
    assert outcomes(*numbers) == dict.fromkeys(numbers, "fail")


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_an_adapter_that_is_out_by_a_factor_fails(monkeypatch: pytest.MonkeyPatch, factor: float):
    true = Chain.amplitude_uv_pp
    monkeypatch.setattr(
        Chain, "amplitude_uv_pp", lambda self, current_ma: round(factor * true(self, current_ma))
    )
    assert outcomes(15) == {15: "fail"}


def test_a_guard_that_refuses_nothing_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(GuardedDriver, "_refuse", staticmethod(lambda breaches: None))
    assert outcomes(14, 16) == dict.fromkeys((14, 16), "fail")


def test_a_reserve_that_is_not_freed_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(RecordWriter, "release_reserve", lambda self: None)
    assert outcomes(30) == {30: "fail"}


def test_records_and_doses_that_nobody_looks_at_fail(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readiness, "record_breaches", lambda *a, **k: [])
    monkeypatch.setattr(checking.Ledger, "history", lambda *a, **k: DoseHistory())
    numbers = (33, 34, 44)
    assert outcomes(*numbers) == dict.fromkeys(numbers, "fail")


def test_a_blinded_session_with_an_open_record_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        conduct.Conduct, "_new_record", lambda self: RecordWriter(self.paths.record)
    )
    assert outcomes(47) == {47: "fail"}


def test_a_fallback_to_the_active_arm_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(conduct, "load_study", lambda *a, **k: None)
    monkeypatch.setattr(conduct, "resolve", lambda study, subject, stratum, p, **k: p)
    assert outcomes(46) == {46: "fail"}


def test_a_loop_that_does_not_mind_old_eeg_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tacs.loop, "when_stale", lambda rule, seen: None)
    found = verify(35)[35]
    assert found.outcome == "fail"
    assert "quiet_s_2.5s" in found.reason
    assert "chased_10s" in found.reason


def test_a_loop_that_follows_a_saturated_amplifier_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(SignalWatch, "problem", lambda self, signal: "")
    found = verify(36)[36]
    assert found.outcome == "fail"
    assert "quiet_s" in found.reason


def test_clocks_that_drift_apart_fail(monkeypatch: pytest.MonkeyPatch):
    """The current is reckoned by a clock that is 0.1 % off; stamps from the future are believed."""
    right = DeviceClock.corrected

    def off(self: DeviceClock, carrier: Carrier, cycles: float) -> Carrier:
        return right(DeviceClock(ppm=1000.0), carrier, cycles)

    monkeypatch.setattr(DeviceClock, "corrected", off)
    monkeypatch.setattr(
        tacs.loop,
        "when_stale",
        lambda rule, seen: when_stale(rule, seen) if seen.age_s >= 0.0 else None,
    )
    found = verify(37)[37]
    assert found.outcome == "fail"
    assert "lag_mean_deg" in found.reason
    assert "quiet_s_on" in found.reason


def test_a_loop_that_fails_and_is_let_go_on_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Leash, "look", lambda self, told: None)
    found = verify(38)[38]
    assert found.outcome == "fail"
    for name in ("raises", "nan", "hangs"):
        assert f"quiet_s_{name}" in found.reason


# -- the command ----------------------------------------------------------------------------------


def test_the_command_prints_the_matrix_and_json(capsys: pytest.CaptureFixture[str]):
    arguments = ["verify", "device", "emulated:synthpal", "--only", "9, 18,11"]
    assert call(arguments) == 0
    prose = capsys.readouterr().out
    assert " 9  pass" in prose
    assert "18  not detectable" in prose
    assert "emulated:synthpal on rig emulated-synthpal: " in prose
    assert call([*arguments, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["ok"] is True
    assert [c["number"] for c in data["checks"]] == [9, 11, 18]
    assert set(data["checks"][0]) >= {
        "number", "fault", "required", "outcome", "monitor", "figures", "reason",
    }  # fmt: skip


def test_a_failure_is_an_exit_code(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(GuardedDriver, "soft_stop", lambda self: None)
    assert call(["verify", "device", "emulated:synthpal", "--only", "40"]) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["emulated:synthpal", "--only", "48"], "scenario 48: there are 1 to 47"),
        (["emulated:synthpal", "--only", "x"], "write numbers separated by commas"),
        (["emulated:nothing"], "no driver named 'nothing'"),
        (["synthpal:/dev/x"], "needs --rig"),
        (["synthpal:/dev/x", "--rig", PLAIN], "needs --confirm 'dummy load attached'"),
        (["synthpal:/dev/x", "--rig", PLAIN, "--confirm", "yes"], "is not dummy load attached"),
    ],
)
def test_bad_usage_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert call(["verify", "device", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_only_skipped_rows_are_no_success():
    found = verify_device("emulated:synthpal", only=(1, 11), quick=True)
    assert not found.ok
    assert verify_device("emulated:synthpal", only=(18,)).ok
    assert found.counts == {"skipped": 1, "not_applicable": 1}


def test_a_real_device_needs_somebody_who_attached_a_load():
    with pytest.raises(InputError, match="needs a confirmation"):
        verify_device("synthpal:/dev/x", rig=PLAIN)


def test_a_device_on_a_dummy_load_is_judged_by_its_own_word(tmp_path: Path):
    shipped = Path(tacs.__file__).parent / f"rigs/{PLAIN}.toml"
    rig = tmp_path / "rig.toml"
    rig.write_text(shipped.read_text().replace("emulated = true", "emulated = false"))
    device = find_emulator("synthpal").as_process(shipped, ["Oz", "Cz"], None, [])
    told: list[str] = []
    try:
        found: Verification = verify_device(
            f"synthpal:{device.address}", rig=rig, only=(14, 15, 18, 35, 40), confirm=told.extend
        )
    finally:
        device.finish()
    assert {c.scenario.number: c.verdict.outcome for c in found.checks} == {
        14: "skipped", 15: "skipped", 18: "skipped", 35: "skipped", 40: "pass",
    }  # fmt: skip
    assert told[0].startswith("a load of 5 to 10 kΩ between the leads of Oz-Cz")
    assert "dummy load" in found.text()
