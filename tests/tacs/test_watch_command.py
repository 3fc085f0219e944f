"""``tacs watch`` as a user meets it, on a virtual clock: streams, recordings, refusals."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mne
import numpy as np
import pytest

from analysis.estimate import PeakEstimate
from devices.patient import VirtualPatient
from devices.truth import PatientTruth
from tacs import eeg_view
from tacs.cli import call
from tacs.clock import QueueInbox, VirtualClock
from tacs.eeg import open_source
from tacs.eeg_view import LineView, TerminalView, peak_words, spectrum_rows, timing_words
from tacs.eeg_watch import Snapshot, WatchPlan, watch
from tacs.errors import InputError, LinkLost, NoAnswer
from tests import data as real
from tests.analysis import made_estimate as made

ON_VIRTUAL = ["--clock", "virtual", "--every", "60"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventy seconds of a virtual patient, one channel flat."""
    raw = VirtualPatient(PatientTruth.draw(3), 3, channels=["Pz", "O1", "Oz", "O2", "Fz"]).record(
        70.0
    )
    raw._data[4] = 0.0
    raw.rename_channels({name: f"{name}.." for name in raw.ch_names})  # as some recorders do
    path = tmp_path_factory.mktemp("played") / "made_raw.fif"
    raw.save(path, verbose="ERROR")
    return path


class Shown:
    """A view that keeps what it is shown."""

    def __init__(self) -> None:
        self.all: list[Snapshot] = []

    def show(self, now: Snapshot) -> None:
        self.all.append(now)


def told(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    out, err = capsys.readouterr()
    return json.loads(out), err


@pytest.mark.parametrize(("seed", "peak_hz"), [(7, 10.0), (11, 8.6), (12, 11.7)])
def test_the_virtual_patients_peak(
    seed: int, peak_hz: float, capsys: pytest.CaptureFixture[str]
) -> None:
    source = f"virtual:{seed}?peak_hz={peak_hz}"
    assert call(["watch", source, "--seconds", "120", *ON_VIRTUAL, "--json"]) == 0
    data, err = told(capsys)
    # The rhythm wanders: the truth is what it was in the same two minutes.
    patient = VirtualPatient(PatientTruth.draw(seed, peak_hz=peak_hz), seed)
    patient.record(120.0)
    truth_hz = patient.recordings[0].peak_hz
    low_hz, high_hz = data["ci95_hz"]
    assert low_hz <= truth_hz <= high_hz
    assert high_hz - low_hz < 0.6
    assert data["live"]["ended"] == "time"
    assert {x["state"] for x in data["live"]["signal"]} == {"good"}
    assert (data["timing"]["n_missing"], data["timing"]["n_gaps"]) == (0, 0)
    assert data["timing"]["measured_hz"] == pytest.approx(250.0)
    assert err.splitlines()[0].startswith("1:00  peak ")
    estimate = PeakEstimate.from_dict(data)  # and a plan can be made from it
    assert estimate.frequency_hz == data["frequency_hz"]


def test_planted_gaps_are_counted_and_recorded(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["watch", f"replay:{recording}?drops=20+0.5,40+2", *ON_VIRTUAL, "--json"]
    words += ["--out", str(tmp_path / "set"), "--subject", "01", "--session", "1", "--when", "pre"]
    assert call(words) == 0
    data, _ = told(capsys)
    assert (data["live"]["ended"], data["subject"]) == ("over", "01")
    timing = data["timing"]
    assert (timing["n_gaps"], timing["n_missing"]) == (2, 125 + 500)
    assert [gap["n_samples"] for gap in timing["gaps"]] == [125, 500]
    assert [gap["at_s"] for gap in timing["gaps"]] == pytest.approx([20.0, 40.0], abs=0.01)
    assert [x["channel"] for x in data["live"]["signal"] if x["state"] == "flat"] == ["Fz.."]
    assert data["channels"] == ["Pz", "O1", "Oz", "O2"]
    raw = mne.io.read_raw(data["live"]["imported"]["path"], preload=True, verbose="ERROR")
    wanted = mne.io.read_raw(recording, preload=True, verbose="ERROR")
    times_s = wanted.times
    there = ~((times_s >= 20) & (times_s < 20.5)) & ~((times_s >= 40) & (times_s < 42))
    assert raw.get_data()[:, there] == pytest.approx(wanted.get_data()[:, there], abs=1e-10)
    assert not list((tmp_path / "set" / "sourcedata" / "tacs").rglob("*_stream*"))
    # The recording gives the same peak as the stream did.
    assert call(["peak", data["live"]["imported"]["path"], "--json"]) == 0
    again, _ = told(capsys)
    assert again["channels"] == data["channels"]
    assert again["frequency_hz"] == pytest.approx(data["frequency_hz"], abs=0.02)


@pytest.mark.parametrize(
    ("name", "status"),
    [("eegmmidb_s001/S001R02.edf", "found"), ("eegmmidb_s001/S001R01.edf", "no_peak")],
)
def test_a_real_recording_says_live_what_it_says_as_a_file(
    name: str, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = real.recording(name)
    call(["watch", f"replay:{path}", *ON_VIRTUAL, "--json"])
    live, _ = told(capsys)
    call(["peak", str(path), "--json"])
    file, _ = told(capsys)
    assert live["status"] == file["status"] == status
    assert live["channels"] == file["channels"]
    if status == "found":
        assert live["frequency_hz"] == pytest.approx(file["frequency_hz"], abs=1e-6)
        assert live["ci95_hz"] == pytest.approx(file["ci95_hz"], abs=1e-6)


@pytest.mark.parametrize("picks", ["Oz,O1", "Oz..,O1.."])
def test_channels_are_chosen_by_either_name(
    picks: str, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["watch", f"replay:{recording}", "--seconds", "40", "--picks", picks, *ON_VIRTUAL]
    assert call([*words, "--json"]) in {0, 3}
    data, _ = told(capsys)
    assert sorted(data["channels"]) == ["O1", "Oz"]


def test_a_source_that_falls_silent_ends_it(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["watch", f"replay:{recording}?drops=45+20", *ON_VIRTUAL, "--json"]
    words += ["--out", str(tmp_path / "set"), "--subject", "01", "--session", "1", "--when", "pre"]
    assert call(words) == 5
    data, err = told(capsys)
    assert data["live"]["ended"] == "stale"
    assert data["live"]["watched_s"] == pytest.approx(55.0, abs=0.3)
    assert (data["error"], data["exit_code"]) == (data["live"]["why"], 5)
    assert err.splitlines()[-1] == "tacs: file made_raw.fif: no new sample for 10 s"
    assert data["status"] == "found"
    raw = mne.io.read_raw(data["live"]["imported"]["path"], verbose="ERROR")
    assert raw.n_times == 45 * 250  # what came before is kept


def test_a_source_of_which_nothing_comes(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["watch", f"replay:{recording}?drops=0+69", *ON_VIRTUAL, "--json"]
    words += ["--out", str(tmp_path / "set"), "--subject", "01", "--session", "1", "--when", "pre"]
    assert call(words) == 5
    data, err = told(capsys)
    assert data == {"error": "file made_raw.fif: no new sample for 10 s", "exit_code": 5}
    assert "nothing was recorded: no sample came" in err
    assert not list((tmp_path / "set").rglob("*_stream*"))


def test_no_rhythm_is_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.cumsum(np.random.default_rng(2).normal(0, 1e-6, (4, 15_000)), axis=1)
    path = tmp_path / "noise_raw.fif"
    info = mne.create_info(["Pz", "O1", "Oz", "O2"], 250.0, "eeg")
    mne.io.RawArray(noise, info, verbose="ERROR").save(path, verbose="ERROR")
    assert call(["watch", f"replay:{path}", *ON_VIRTUAL, "--json"]) == 3
    data, _ = told(capsys)
    assert data["status"] == "no_peak"
    assert data["frequency_hz"] is None


def test_a_message_ends_it_and_a_copy_of_every_look_is_shown() -> None:
    clock, shown = VirtualClock(), Shown()
    source = open_source("virtual:7?drops=3+4", clock)
    inbox = QueueInbox([(33.0, "stop:SIGINT")])
    seen = watch(source, clock, WatchPlan(every_s=5.0), view=shown, inbox=inbox)
    assert (seen.ended, seen.watched_s) == ("stopped", pytest.approx(33.0))
    assert [round(now.elapsed_s) for now in shown.all] == [5, 10, 15, 20, 25, 30]
    assert [now.stale for now in shown.all] == [True, *[False] * 5]
    assert [now.estimate is None for now in shown.all[:3]] == [True, True, False]
    assert seen.timing["n_missing"] == 1000
    with pytest.raises(LinkLost, match="closed"):
        source.read()


def test_a_lost_link_ends_it() -> None:
    clock = VirtualClock()
    source = open_source("virtual:7", clock)
    clock.at(40.0, source.close)
    seen = watch(source, clock, WatchPlan(every_s=60.0), view=Shown())
    assert (seen.ended, seen.why) == ("lost", "virtual patient: the source was closed")


def test_in_real_time_the_search_has_a_thread_of_its_own() -> None:
    """A clock that is called real and runs at once; the estimate is the same."""

    class Quick(VirtualClock):
        virtual = False

    answers = []
    for clock in (Quick(), VirtualClock()):
        source = open_source("virtual:7", clock)
        plan = WatchPlan(seconds=40.0, every_s=10.0)
        answers.append(watch(source, clock, plan, view=Shown()))
    assert answers[0].estimate.frequency_hz == answers[1].estimate.frequency_hz
    assert answers[0].timing == answers[1].timing


def test_what_came_before_a_mistake_is_kept(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["watch", f"replay:{recording}", "--band", "1000", "2000", *ON_VIRTUAL]
    words += ["--out", str(tmp_path), "--subject", "01", "--session", "1", "--when", "post"]
    assert call(words) == 2
    err = capsys.readouterr().err.splitlines()
    assert err[0].startswith("recorded: ")
    assert "band" in err[-1]
    raw = mne.io.read_raw(err[0].removeprefix("recorded: "), verbose="ERROR")
    assert 60 * 250 <= raw.n_times < 61 * 250


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "write KIND:ADDRESS; there are brainflow:BOARD"),
        (["radio:1"], "no EEG source of kind 'radio'"),
        (["lsl:x", "--clock", "virtual"], "use --clock real"),
        (["virtual:1", "--clock", "fast"], "write real or virtual"),
        (["virtual:1", "--clock", "virtual"], "give --seconds"),
        (["virtual:1", "--window", "10"], "window 10 s: write 30 to 600 s"),
        (["virtual:1", "--every", "0.1"], "every 0.1 s: write 1 to 60 s"),
        (["virtual:1", "--seconds", "-1"], "seconds -1 s"),
        (["virtual:1", "--subject", "01"], "--subject belongs to a recording: give --out"),
        (["virtual:1", "--out", "x"], "--out records: give --subject as well"),
        (
            ["virtual:1", "--seconds", "9", "--clock", "virtual", "--picks", "A1"],
            "no channel A1; there are Fp1",
        ),
        (["virtual:1", "--recover", "x"], "--recover stands alone"),
        (["--recover", "none_stream.jsonl"], "none_stream.jsonl: cannot be finished"),
    ],
)
def test_refused_in_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["watch", *words]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert message in err
    assert len(err.splitlines()) == 1


def test_too_little_to_say_anything() -> None:
    clock = VirtualClock()
    with pytest.raises(NoAnswer, match=r"virtual patient: only 3.\d s came in 3 s"):
        watch(open_source("virtual:1", clock), clock, WatchPlan(seconds=3.0), view=Shown())


def test_recover_finds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["watch", "--recover", str(tmp_path), "--json"]) == 0
    data, _ = told(capsys)
    assert data == {"recovered": [], "left": []}


def snapshot(**changes: Any) -> Snapshot:
    timing = SimpleNamespace(
        n_gaps=2, n_missing=35, n_restarts=1, drift_ppm=-3.4, jitter_s=0.0021, delay_s=-1e-9,
        clock_offset_s=1.25, clock_drift_ppm=0.5,
    )  # fmt: skip
    states = tuple(
        SimpleNamespace(channel=name, state=state)
        for name, state in [("Oz", "good"), *((f"E{i}", "flat") for i in range(6))]
    )
    given = {"elapsed_s": 75.0, "estimate": made.found(), "states": states, "timing": timing}
    return Snapshot(**{**given, "have_s": 70.0, "stale": False, **changes})  # type: ignore[arg-type]


def test_a_line_says_it_all() -> None:
    stream = io.StringIO()
    LineView(stream).show(snapshot())
    LineView(stream).show(snapshot(stale=True, estimate=None, have_s=12.0, states=()))
    first, second = stream.getvalue().splitlines()
    found = made.found()
    assert first.startswith(f"1:15  peak {found.frequency_hz:.2f} Hz (95 % ")
    assert "1 of 7 channels good (E0 flat, E1 flat, E2 flat, E3 flat, and 2 more)" in first
    assert first.endswith(
        "2 gaps, 35 samples lost, 1 jump of time, drift -3 ppm, jitter 2.1 ms, delay 0 ms, "
        "clock offset 1.2500 s, growing by +0.5 ppm"
    )
    assert "NOTHING COMES  collecting, 12 of 30 s  channels not known yet" in second


def test_a_terminal_that_is_gone_ends_nothing() -> None:
    stream = io.StringIO()
    stream.close()
    LineView(stream).show(snapshot())


def test_why_there_is_no_peak() -> None:
    found = made.unusable()
    assert peak_words(snapshot(estimate=found)) == f"unusable: {found.reasons[0]}"
    assert peak_words(snapshot(estimate=found, have_s=20.0)) == "collecting, 20 of 30 s"


def test_the_spectrum_is_highest_at_the_peak() -> None:
    freqs_hz = np.arange(0.0, 45.0, 0.25)
    power_db = -freqs_hz / 3 + 12 * np.exp(-((freqs_hz - 10.0) ** 2))
    rows = spectrum_rows(SimpleNamespace(freqs_hz=freqs_hz, power_db=power_db))  # type: ignore[arg-type]
    assert len(rows) == 7
    top, axis = rows[0], rows[-1]
    assert axis.index("10") == top.index("█")  # 10 Hz is where it is highest
    assert max(map(len, rows)) < 80


def test_a_terminal_is_drawn_in_place(recording: Path) -> None:
    from rich.console import Console

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    clock, terminal = VirtualClock(), Terminal()
    source = open_source(f"replay:{recording}", clock)
    with eeg_view.viewing("replay:made", terminal) as view:
        assert isinstance(view, TerminalView)
        watch(source, clock, WatchPlan(seconds=62.0, every_s=60.0), view=view)
    shown = terminal.getvalue()
    assert "replay:made  1:00  Ctrl-C ends" in shown
    assert "good (4): Pz.., O1.., Oz.., O2.." in shown
    assert "flat (1): Fz.." in shown
    wide = Console(file=io.StringIO(), width=90)
    wide.print(view.drawn(snapshot(stale=True)))
    assert "NOTHING COMES" in wide.file.getvalue()
    assert timing_words(snapshot().timing)[:20] in wide.file.getvalue()


def test_the_plan_of_a_watch_is_checked() -> None:
    with pytest.raises(InputError, match="gone 0 s"):
        WatchPlan(gone_s=0.0)
