"""One whole session through the public function: what refuses, what is written, what is booked."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import tacs
from devices.emulators.bench import InMemory
from tacs import dose, errors
from tacs.checking import check, prepare
from tacs.clock import QueueInbox, utc_now
from tacs.dataset import ensure_dataset
from tacs.driver import TraceInfo
from tacs.errors import InputError, RecordError, SafetyRefusal
from tacs.ledger import Ledger
from tacs.record import RecordWriter, read_record, verify_record
from tacs.recovery import recover
from tacs.runner import RunRecord, run
from tests.tacs.made import individual_data
from tests.tacs.made import protocol as made_protocol
from tests.tacs.studies import ACTIVE, SHAM, study

SHORT = made_protocol(duration_s=60.0)
DEVICE = "emulated:synthpal"


def rehearse(folder: Path, **options: object) -> RunRecord:
    settings: dict[str, Any] = {
        "subject": "P01",
        "session": "01",
        "dataset": folder / "data",
        "clock": "virtual",
        **options,
    }
    return run(settings.pop("protocol", SHORT), settings.pop("device", DEVICE), **settings)


def test_twenty_minutes_are_delivered_recorded_and_booked(tmp_path: Path, site_folder: Path):
    record = rehearse(tmp_path, protocol=made_protocol())
    assert record.outcome == "done"
    got = record.delivered
    assert got.source == "measured"
    assert got.frequency_hz == pytest.approx(10.27, abs=0.005)
    assert got.current_peak_ma == pytest.approx(1.0, rel=0.01)
    assert got.current_peak_ma <= 1.0
    assert max(abs(ma) for ma in got.mean_ma.values()) < 0.001
    assert verify_record(record.record) is None
    lines, _ = read_record(record.record)
    assert (lines[0].kind, lines[-1].kind) == ("session", "end")
    assert lines[-1].data["outcome"] == "done"
    history = Ledger(site_folder, emulated=True).history("P01", utc_now())
    assert history.current_on_24h_min == pytest.approx(20.0, abs=0.1)
    assert history.rectified_charge_24h_c == pytest.approx(got.rectified_charge_c)
    assert record.trace is not None
    sidecar = json.loads(record.trace.with_name(record.trace.name[:-7] + ".json").read_text())
    assert sidecar["SamplingFrequency"] >= 1000.0
    assert sidecar["Columns"] == ["Oz", "Cz"]


def test_two_loops_share_an_electrode(tmp_path: Path):
    montage = {
        "electrodes": [
            {"name": name, "area_cm2": 25.0, "material": "conductive_rubber_paste"}
            for name in ("F3", "F4", "Cz")
        ],
        "loops": [
            {"source": "F3", "sink": "Cz", "current_peak_ma": 0.5},
            {"source": "F4", "sink": "Cz", "current_peak_ma": 0.5},
        ],
    }
    got = rehearse(tmp_path, protocol=made_protocol(duration_s=60.0, montage=montage)).delivered
    assert got.electrodes["F3"] == pytest.approx(0.5, rel=0.01)
    assert got.electrodes["Cz"] == pytest.approx(1.0, rel=0.01)
    assert got.balance_ma < 0.0003  # three electrodes, each rounded to 0.1 µA


def test_shams(tmp_path: Path):
    active = made_protocol(duration_s=90.0, waveform="active_sham", sham_plateau_s=5.0)
    record = rehearse(tmp_path, protocol=active, session="01")
    assert record.outcome == "done"
    assert record.delivered.duration_s == pytest.approx(50.0, abs=1.0)
    passive = made_protocol(duration_s=60.0, waveform="passive_sham")
    record = rehearse(tmp_path, protocol=passive, subject="P02")
    assert (record.outcome, record.delivered.current_peak_ma) == ("done", 0.0)


def test_a_blinded_session_shows_nothing_of_the_arm(tmp_path: Path):
    study("A", ACTIVE, SHAM, {"waveform": "passive_sham"})
    blinded = made_protocol(duration_s=60.0, blinding={"label": "A"})
    shown = []
    for n in range(6):
        record = rehearse(tmp_path, protocol=blinded, subject=f"P{n}")
        assert record.delivered is None
        assert record.trace is None
        files = {
            file.name.replace(f"P{n}", "P"): file.stat().st_size
            for file in record.record.parent.iterdir()
        }
        shown.append((record.outcome, record.cause, record.quiet_after_stop_s, files))
        assert any(name.endswith("oscilloscope.tsv.gz.sealed") for name in files)
    assert all(one == shown[0] for one in shown)


def test_a_blinded_session_without_its_allocation_does_not_run(tmp_path: Path):
    blinded = made_protocol(duration_s=60.0, blinding={"label": "A"})
    with pytest.raises(InputError, match="its allocation is not on this computer"):
        rehearse(tmp_path, protocol=blinded)
    assert not (tmp_path / "data" / "sourcedata").exists()


def test_a_broken_limit_refuses_before_anything_is_written(tmp_path: Path):
    montage = {
        "electrodes": [
            {"name": name, "area_cm2": 25.0, "material": "hydrogel"} for name in ("Oz", "Cz")
        ],
        "loops": [{"source": "Oz", "sink": "Cz", "current_peak_ma": 1.5}],
    }
    with pytest.raises(SafetyRefusal) as refused:
        rehearse(tmp_path, protocol=made_protocol(montage=montage))
    assert {b.where for b in refused.value.breaches} == {"Oz", "Cz"}
    assert not (tmp_path / "data").exists()


def test_somebody_elses_peak_and_an_expired_one_are_refused(tmp_path: Path):
    fresh = utc_now().isoformat()
    stale = (utc_now() - timedelta(days=31)).isoformat()
    theirs = made_protocol(individual=individual_data(subject="P02", measured_at=fresh))
    old = made_protocol(individual=individual_data(subject="P01", measured_at=stale))
    for protocol, limit in ((theirs, "peak_subject"), (old, "peak_age_d")):
        with pytest.raises(SafetyRefusal) as refused:
            rehearse(tmp_path, protocol=protocol)
        assert [b.limit for b in refused.value.breaches] == [limit]


def test_of_two_reservations_at_once_the_second_sees_the_first(tmp_path: Path, site_folder: Path):
    ledger = Ledger(site_folder, emulated=True)

    def reserve(key: str) -> None:
        def refuse() -> None:
            if found := check(SHORT, DEVICE, subject="P01"):
                raise SafetyRefusal(found)

        ledger.reserve(
            key,
            subject="P01",
            session=key,
            dataset=tmp_path,
            protocol=SHORT,
            now=utc_now(),
            refuse=refuse,
        )

    reserve("a")
    with pytest.raises(SafetyRefusal, match="open_session"):
        reserve("b")
    assert not ledger.is_open("b")


def test_another_persons_participant_file_is_refused(tmp_path: Path):
    file = tmp_path / "p.toml"
    file.write_text('subject = "P02"\n[limits]\nelectrode_current_peak_ma = 1.0\n')
    setup = prepare(DEVICE, participant_file=file)
    assert [b.limit for b in check(SHORT, setup, subject="P01")] == ["participant_file"]
    assert check(SHORT, setup, subject="P02") == []


def test_a_second_session_the_same_day_is_refused_from_any_folder(tmp_path: Path):
    rehearse(tmp_path / "a", protocol=made_protocol())
    with pytest.raises(SafetyRefusal, match="inter_session_interval_h"):
        rehearse(tmp_path / "b", protocol=made_protocol(), session="02")


def test_a_session_is_never_written_over(tmp_path: Path):
    rehearse(tmp_path)
    with pytest.raises(InputError, match="has a record already"):
        rehearse(tmp_path)


def test_a_stop_is_booked_as_delivered(tmp_path: Path, site_folder: Path):
    inbox = QueueInbox([(20.0, "stop:the operator")])
    record = rehearse(tmp_path, inbox=inbox)
    assert (record.outcome, record.cause) == ("stopped", "the operator")
    assert record.quiet_after_stop_s is not None
    assert record.quiet_after_stop_s <= 0.85
    history = Ledger(site_folder, emulated=True).history("P01", utc_now())
    assert history.current_on_24h_min * 60 == pytest.approx(record.delivered.duration_s, abs=0.1)
    assert history.open_sessions == ()


@pytest.mark.parametrize("at_s", [10.0, 35.0])
def test_what_was_commanded_before_a_stop_is_what_the_oscilloscope_saw(tmp_path: Path, at_s: float):
    record = rehearse(tmp_path, inbox=QueueInbox([(at_s, "stop:x")]))
    lines, _ = read_record(record.record)
    commanded, measured = lines[-1].data["commanded"], lines[-1].data["delivered"]
    assert commanded["source"] == "commanded"
    for key in ("current_peak_ma", "rectified_charge_c"):
        assert commanded[key] == pytest.approx(measured[key], rel=0.02)
    assert commanded["duration_s"] == pytest.approx(measured["duration_s"], abs=0.3)
    assert lines[-1].t_s >= lines[-2].t_s


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "synthpal:/dev/null-port", "clock": "virtual"}, "virtual clock"),
        ({"device": "nonsense"}, "no driver named"),
        ({"device": "emulated:nonsense"}, "no driver named"),
        ({"device": ""}, "write emulated:NAME"),
        ({"clock": "sundial"}, "must be real or virtual"),
        ({"faults": ["no_such_fault"]}, "no_such_fault"),
        ({"subject": "../P01"}, "must be 1 to 32 letters"),
        ({"session": ""}, "must be 1 to 32 letters"),
    ],
)
def test_bad_usage_is_one_line(tmp_path: Path, options: dict[str, object], message: str):
    with pytest.raises(InputError, match=message) as told:
        rehearse(tmp_path, **options)
    assert "\n" not in str(told.value)


def test_a_real_device_needs_a_rig_and_a_confirmation():
    breaches = check(SHORT, "synthpal:/dev/ttyACM0")
    assert [b.limit for b in breaches] == ["rig"]
    setup = prepare("synthpal:/dev/ttyACM0", rig="emulated-synthpal")
    assert [b.limit for b in check(SHORT, setup)] == ["rig"]


def test_a_device_that_is_not_there_leaves_no_record(tmp_path: Path):
    rig = (Path(tacs.__file__).parent / "rigs/emulated-synthpal.toml").read_text()
    (tmp_path / "rig.toml").write_text(rig.replace("emulated = true", "emulated = false"))
    setup = prepare("synthpal:/dev/no-such-port", rig=tmp_path / "rig.toml")
    with pytest.raises(InputError, match="no-such-port"):
        rehearse(tmp_path, device=setup, clock="real", confirm=lambda words, told: None)
    assert not list(tmp_path.glob("data/**/*_record.jsonl"))


def test_the_wrong_firmware_is_refused_by_name_and_recorded(tmp_path: Path):
    with pytest.raises(errors.TacsError, match="Pulse Pal"):
        rehearse(tmp_path, faults=["wrong_firmware=K"])
    lines, problem = read_record(next(tmp_path.glob("data/**/*_record.jsonl")))
    assert problem is None
    assert lines[-1].data["outcome"] == "refused"


def test_a_refused_attempt_is_kept_and_does_not_use_up_the_session(tmp_path: Path):
    for _ in range(2):
        with pytest.raises(errors.TacsError, match="Pulse Pal"):
            rehearse(tmp_path, faults=["wrong_firmware=K"])
    assert rehearse(tmp_path).outcome == "done"
    kept = sorted(p.name for p in tmp_path.glob("data/**/*_record.jsonl"))
    assert kept == [
        "sub-P01_ses-01_task-tacs_attempt-1_record.jsonl",
        "sub-P01_ses-01_task-tacs_attempt-2_record.jsonl",
        "sub-P01_ses-01_task-tacs_record.jsonl",
    ]
    assert all(verify_record(p) is None for p in tmp_path.glob("data/**/*_record.jsonl"))
    assert recover(tmp_path / "data") == []


@pytest.mark.parametrize("content", [b"", b'{"data":{"suite'])
def test_a_record_without_its_first_line_does_not_use_up_the_session(
    tmp_path: Path, content: bytes
):
    folder = tmp_path / "data/sourcedata/tacs/sub-P01/ses-01"
    ensure_dataset(tmp_path / "data")
    folder.mkdir(parents=True)
    (folder / "sub-P01_ses-01_task-tacs_record.jsonl").write_bytes(content)
    assert recover(tmp_path / "data") == []
    assert rehearse(tmp_path).outcome == "done"
    kept = folder / "sub-P01_ses-01_task-tacs_attempt-1_record.jsonl"
    assert kept.read_bytes() == content


class Killed(BaseException):
    """Stands for a process that dies in the middle of a line."""


def kill_after(monkeypatch: pytest.MonkeyPatch, n_lines: int) -> None:
    original, count = RecordWriter.append, [0]

    def append(self: RecordWriter, *arguments: object, **options: object) -> None:
        count[0] += 1
        if count[0] == n_lines:
            with open(self.path, "ab") as file:
                file.write(b'{"seq":')
            os.close(self._fd)
            self._fd = -1
            raise Killed
        original(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(RecordWriter, "append", append)


@pytest.mark.parametrize("n_lines", [40, 700, 2400, 2550])
def test_a_killed_session_is_closed_by_recover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site_folder: Path, n_lines: int
):
    with monkeypatch.context() as patch:
        kill_after(patch, n_lines)
        with pytest.raises(Killed):
            rehearse(tmp_path)
    ledger = Ledger(site_folder, emulated=True)
    assert len(ledger.history("P01", utc_now()).open_sessions) == 1
    with pytest.raises(SafetyRefusal, match="open_session"):
        rehearse(tmp_path, session="02")
    closed = recover(tmp_path / "data")
    assert [session.outcome for session in closed] == ["interrupted"]
    delivered = closed[0].delivered
    assert delivered is not None
    assert verify_record(closed[0].record) is None
    trace = next(tmp_path.glob("data/sub-P01/**/*_stim.tsv.gz"))
    assert gzip.decompress(trace.read_bytes()).endswith(b"\n")
    assert ledger.history("P01", utc_now()).open_sessions == ()
    booked = ledger.history("P01", utc_now()).rectified_charge_24h_c
    assert booked == pytest.approx(delivered.rectified_charge_c, abs=1e-6)
    assert recover(tmp_path / "data") == []


def test_without_a_trace_the_upper_bound_is_booked_and_it_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        kill_after(patch, 2400)
        with pytest.raises(Killed):
            rehearse(tmp_path)
    scope = next(tmp_path.glob("data/**/*_oscilloscope.tsv.gz"))
    measured = scope.rename(tmp_path / "kept.tsv.gz")
    closed = recover(tmp_path / "data")[0]
    assert closed.delivered is not None
    assert closed.delivered.source == "upper bound"
    truth = dose.measure(dose.read_trace(measured, 2), ("Oz", "Cz"), 1000.0)
    for name in ("Oz", "Cz"):
        bound_c = closed.delivered.rectified_charge_c[name]
        assert truth.rectified_charge_c[name] <= bound_c <= truth.rectified_charge_c[name] * 1.5
    assert closed.delivered.duration_s >= truth.duration_s
    assert closed.delivered.current_peak_ma >= truth.current_peak_ma


@pytest.mark.parametrize("damage", ["torn", "not clean"])
def test_a_trace_that_is_not_whole_measures_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site_folder: Path, damage: str
):
    """As a full disk leaves it: what was not written flowed all the same."""
    whole = rehearse(tmp_path / "whole").delivered
    finish = InMemory.finish

    def damaged(self: InMemory, timeout_s: float = 10.0) -> TraceInfo:
        info = finish(self, timeout_s)
        assert info is not None
        content = info.path.read_bytes()
        info.path.write_bytes(content[: len(content) // 2])
        return info if damage == "torn" else replace(info, n_samples=20_000, clean=False)

    monkeypatch.setattr(InMemory, "finish", damaged)
    found = rehearse(tmp_path, subject="P02")
    assert (found.outcome, found.delivered.source) == ("done", "upper bound")
    assert any("not whole; an upper bound" in warning for warning in found.warnings)
    for name in ("Oz", "Cz"):
        truth_c = whole.rectified_charge_c[name]
        assert truth_c <= found.delivered.rectified_charge_c[name] <= 1.02 * truth_c
    history = Ledger(site_folder, emulated=True).history("P02", utc_now())
    booked_c, known_c = history.rectified_charge_24h_c, found.delivered.rectified_charge_c
    assert booked_c == pytest.approx(known_c, abs=1e-6)


def test_a_current_that_does_not_end_is_said_loudly_and_booked_in_full(tmp_path: Path):
    found = rehearse(tmp_path, faults=["stuck_output@35"], inbox=QueueInbox([(40.0, "stop:x")]))
    assert found.outcome == "fault"
    assert any("DID NOT END" in warning for warning in found.warnings)
    assert found.delivered.source == "upper bound"
    whole_c = rehearse(tmp_path / "whole", subject="P02").delivered.rectified_charge_c
    for name in ("Oz", "Cz"):
        assert found.delivered.rectified_charge_c[name] >= 0.999 * whole_c[name]


def test_a_changed_record_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        kill_after(patch, 700)
        with pytest.raises(Killed):
            rehearse(tmp_path)
    record = next(tmp_path.glob("data/**/*_record.jsonl"))
    record.write_bytes(record.read_bytes().replace(b'"level":0.1', b'"level":0.0', 1))
    before = record.read_bytes()
    told = recover(tmp_path / "data")
    assert [(s.outcome, s.delivered) for s in told] == [("damaged", None)]
    assert "evidence" in told[0].note
    assert record.read_bytes() == before


def test_a_booking_that_was_lost_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site_folder: Path
):
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "book", lambda *a, **k: (_ for _ in ()).throw(RecordError("gone")))
        with pytest.raises(RecordError):
            rehearse(tmp_path)
    closed = recover(tmp_path / "data")
    assert [session.outcome for session in closed] == ["done"]
    assert Ledger(site_folder, emulated=True).history("P01", utc_now()).open_sessions == ()


def test_a_titration_finds_the_ceiling_and_the_thresholds(tmp_path: Path):
    script = [(1.1 + 2.0 * n, "higher") for n in range(5)]
    script += [(8.5, "mark:sensation"), (10.6, "mark:phosphene"), (12.0, "lower"), (14.0, "accept")]
    record = rehearse(
        tmp_path,
        protocol=made_protocol(duration_s=90.0),
        inbox=QueueInbox(script),
        titrate=True,
        operator="M. Curie",
    )
    assert record.outcome == "done"
    assert record.titration == {"sensation": 0.4, "phosphene": 0.5, "tolerated": 0.4}
    assert record.delivered.current_peak_ma == pytest.approx(0.5, rel=0.01)
    lines, _ = read_record(record.record)
    assert lines[-1].data["titration"] == record.titration
    marks = [x.data for x in lines if x.kind == "operator" and x.data["did"] == "mark"]
    assert [(m["text"], m["level"]) for m in marks] == [("sensation", 0.4), ("phosphene", 0.5)]


def test_a_discomfort_of_six_pauses_and_of_seven_stops(tmp_path: Path):
    script = [(35.0, "rating:5"), (36.0, "rating:6"), (55.0, "resume"), (90.0, "rating:7")]
    record = rehearse(tmp_path, protocol=made_protocol(duration_s=120.0), inbox=QueueInbox(script))
    assert (record.outcome, record.cause) == ("stopped", "discomfort 7 of 10")
    assert record.quiet_after_stop_s < 1.0
    lines, _ = read_record(record.record)
    states = [x.data["to"] for x in lines if x.kind == "state"]
    assert states[3:] == [
        "ramp_up", "hold", "ramp_down", "paused", "ramp_up", "hold", "stopping", "stopped",
    ]  # fmt: skip


@pytest.mark.parametrize("rating", ["rating:11", "rating:-1", "rating:nan", "rating:", "rating:x"])
def test_a_rating_that_is_none_counts_as_the_worst(tmp_path: Path, rating: str):
    record = rehearse(tmp_path, inbox=QueueInbox([(31.0, rating)]))
    assert record.outcome == "stopped"


def test_a_titration_of_a_sham_or_a_blinded_arm_is_refused(tmp_path: Path):
    sham = made_protocol(duration_s=60.0, waveform="active_sham", sham_plateau_s=2.0)
    for protocol in (sham, made_protocol(duration_s=60.0, blinding={"label": "A"})):
        with pytest.raises(InputError, match="titration shows the arm"):
            rehearse(tmp_path, protocol=protocol, titrate=True)


def test_only_host_loss_can_be_overridden_with_a_reason_and_a_name(tmp_path: Path):
    for overrides, operator, words in (
        ({"daily_duration_min": "more"}, "M. Curie", "only host_loss can"),
        ({"host_loss": "bench"}, "", "needs a reason"),
        ({"host_loss": " "}, "M. Curie", "needs a reason"),
    ):
        with pytest.raises(InputError, match=words):
            rehearse(tmp_path, overrides=overrides, operator=operator)
    record = rehearse(tmp_path, overrides={"host_loss": "bench"}, operator="M. Curie")
    assert read_record(record.record)[0][0].data["overrides"] == {"host_loss": "bench"}


def test_a_rehearsal_with_people_asks_for_everything_that_a_real_device_does(tmp_path: Path):
    with pytest.raises(SafetyRefusal) as refused:
        rehearse(tmp_path, people=True)
    assert {b.limit for b in refused.value.breaches} >= {"screening", "consent", "preflight"}
    lines, _ = read_record(tmp_path / "data/sourcedata/tacs/sub-P01/ses-01/"
                           "sub-P01_ses-01_task-tacs_record.jsonl")  # fmt: skip
    assert lines[-1].data["outcome"] == "refused"
    assert not any(x.data.get("verb") == "start" for x in lines)


def test_a_monitored_rig_catches_what_a_voltage_source_cannot_sense(tmp_path: Path):
    setup = prepare(DEVICE, rig="emulated-synthpal-monitored")
    record = rehearse(tmp_path, device=setup, faults=["open_electrode@40=Oz"])
    assert record.outcome == "fault"
    assert record.cause.startswith("OPEN_CIRCUIT: Oz carries 0.000 mA")
    blind = rehearse(tmp_path, subject="P02", faults=["open_electrode@40=Oz"])
    assert blind.outcome == "done"
    assert any("open or detached electrode" in text for text in blind.warnings)
    assert not any("open or detached electrode" in text for text in record.warnings)
