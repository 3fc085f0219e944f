"""`compare` on a flicker, on eyes and on nothing: made trials with known truth, and real ones."""

from __future__ import annotations

from typing import Any

import mne
import numpy as np
import pytest

pytest.importorskip("benchmarks.real_outcomes", reason="benchmarks are not here")

from analysis.marks import onsets_s
from analysis.quality import annotated_mask
from benchmarks.real_outcomes import (
    DRIVES_HZ,
    EYES,
    PEOPLE,
    Found,
    ask,
    counted,
    drive_rows,
    flicker_trials,
    joined_trials,
    line_db,
    main,
    run,
)
from tests.analysis.made_outcome import made_raw, made_uv
from tests.data import recording

CHANNELS = ("Oz", "O1", "O2", "PO3")
RATE_HZ = 256.0
LINE_UV = 1.5


def made_trials(seed: int, line_hz: float | None, *, phase_s: float = 0.0) -> Any:
    """Sixteen trials of one kind; the line only while a trial lasts, its phase that of the cue."""
    data = made_uv(
        seed, channels=CHANNELS, duration_s=132.0, sfreq_hz=RATE_HZ, alpha_uv=3.0, background_uv=4.0
    )
    cues = (np.arange(16) * 8 + 1) * round(RATE_HZ)
    if line_hz is not None:
        time_s = np.arange(round(6.0 * RATE_HZ)) / RATE_HZ
        for cue in cues:
            wave = LINE_UV * np.sin(2.0 * np.pi * line_hz * (time_s + phase_s))
            data[:, cue : cue + time_s.size] += wave
    return joined_trials([made_raw(data, RATE_HZ, CHANNELS)], [cues])


def test_trials_are_laid_end_to_end_with_marked_seams() -> None:
    data = np.tile(np.arange(30 * 256.0), (2, 1)) ** 2 * 1e-9
    raw = mne.io.RawArray(data, mne.create_info(["O1", "O2"], 256.0, "eeg"), verbose="ERROR")
    joined = joined_trials([raw, raw], [np.array([256, 2560]), np.array([512, 29 * 256])])
    assert joined.n_times == (3 * 4 + 2 * 2) * 256
    assert onsets_s(joined).tolist() == [4.0, 10.0]
    bad = annotated_mask(joined)
    assert np.flatnonzero(np.diff(bad.astype(int))).tolist() == [1023, 1535, 2559, 3071]
    wave = joined.get_data()[0, ~bad].reshape(3, 1024)
    assert np.allclose(wave.mean(axis=1), 0.0, atol=1e-12)


@pytest.mark.parametrize("drive_hz", DRIVES_HZ)
def test_a_made_flicker_is_found_and_nothing_else(drive_hz: float) -> None:
    rest, driven = made_trials(3, None), made_trials(4, drive_hz, phase_s=0.3)
    assert line_db(driven, drive_hz) > 6.0
    found = drive_rows("made", rest, driven, drive_hz)
    by = {one.centre_hz: one for one in found}
    assert by[drive_hz].direction == "increase"
    assert by[drive_hz].at == "drive"
    alarms = [one for one in found if one.at != "drive" and one.direction == "increase"]
    assert not alarms
    turned = ask("made", "drive", driven, rest, drive_hz, narrow=True, discard_s=0.0)
    assert turned.direction == "decrease"


def test_counting() -> None:
    def one(at: str, direction: str) -> Found:
        return Found("x", at, 13.0, direction, 10.0, 1.0, 20.0)

    rows = [
        one("drive", "increase"),
        one("drive", "undetermined"),
        one("other drive", "increase"),
        one("control", "decrease"),
        Found("short", "eyes", 10.0, "refused", text="too short"),
    ]
    lines = counted(rows)
    assert lines[0] == "drive found as an increase: 1 of 2"
    assert "false alarm: increase at a drive that was not on: 1 of 1" in lines
    assert "false alarm: increase at 15, 19 or 23.5 Hz: 0 of 1" in lines
    assert lines[-1] == "refused: short: too short"
    assert rows[0].cell() == "UP +10 [+1, +20]"
    assert rows[-1].cell() == "refused"


def test_a_real_flicker() -> None:
    """A person with a high line: found at the drive, an increase at no control."""
    person = PEOPLE[1]
    folder = recording(f"ssvep_exo/{person[0]}_{person[1]}_raw.fif").parents[1]
    trials = flicker_trials(folder, person)
    rest, driven = trials["rest"][2], trials["17"][2]
    assert line_db(driven, 17.0) > 9.0
    found = {one.centre_hz: one for one in drive_rows("17", rest, driven, 17.0)}
    assert found[17.0].direction == "increase"
    for hz in (15.0, 19.0, 23.5):
        assert found[hz].direction != "increase"


def test_real_eyes_and_a_recording_that_is_too_short(capsys: pytest.CaptureFixture[str]) -> None:
    for _, *files, _ in EYES:
        folder = recording(files[0]).parents[1]
    found = {one.what: one for one in run(folder, ["eyes"], 1)}
    assert found["eegmmidb S001: open, closed"].direction == "increase"
    assert found["eegmmidb S001: closed, open"].direction == "decrease"
    assert "eyes were probably open before" in found["eegmmidb S001: open, closed"].text
    assert "eyes were open before and closed" in found["BioSPPy: open, closed"].text
    assert found["Crown, 9 s: open, closed"].direction == "refused"
    assert "Counted" in capsys.readouterr().out


def test_real_people_twice() -> None:
    folder = recording("restingiaf_ec/tute_01_1.set").parents[1]
    found = run(folder, ["retest"], 0)
    assert len(found) == 4
    assert {one.direction for one in found} <= {"none", "undetermined"}


def test_without_data_one_line(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TACS_TEST_DATA", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["real_outcomes"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("no real recordings: ")
