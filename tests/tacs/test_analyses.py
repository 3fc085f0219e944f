"""Files in, results out: what the options of ``tacs peak`` and ``tacs compare`` mean together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mne
import pytest

from analysis.errors import AnalysisError
from tacs.analyses import compare_recordings, estimate_peak
from tacs.errors import InputError
from tests.analysis.made_estimate import split
from tests.analysis.simulate import POSTERIOR, make_eeg


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of made EEG as an EDF file."""
    path = tmp_path_factory.mktemp("eeg") / "closed.edf"
    raw = make_eeg(3, peak_hz=10.2, duration_s=64.0, ch_names=POSTERIOR).raw()
    mne.export.export_raw(path, raw, verbose="ERROR")
    return path


def test_a_split_peak_file_is_not_used_in_silence(recording: Path, tmp_path: Path) -> None:
    estimate = split()
    data = estimate.to_dict()
    file = tmp_path / "split.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    told = compare_recordings(recording, recording, peak_file=file).warnings
    first, second = (f"{peak.frequency_hz:.2f} Hz" for peak in estimate.peaks)
    assert any(first in text and second in text for text in told)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"reference": "mastoids"}, "--reference mastoids: give auto, average, recorded"),
        ({"clean": "soap"}, "--clean soap: give autoreject, prep, both"),
        ({"method": "cog", "cross_check": True}, "--method cog reproduces a publication"),
        ({"method": "cog", "events": ("go", 0.0, 2.0)}, "leave out --events"),
    ],
)
def test_options_that_make_no_sense(recording: Path, options: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        estimate_peak(recording, band_hz=(7.0, 13.0), **options)


def test_an_unknown_handling_of_artefacts(recording: Path) -> None:
    with pytest.raises(InputError, match="--artefacts soap: give none, ica, autoreject, both"):
        compare_recordings(recording, recording, artefacts="soap")


def test_a_handling_that_the_recordings_do_not_support_is_refused(recording: Path) -> None:
    with pytest.raises(AnalysisError, match=r"ICA needs 16 good channels .* there are 9"):
        compare_recordings(recording, recording, peak_hz=10.2, artefacts="ica")


def test_every_method_answers_near_the_truth(recording: Path) -> None:
    own = estimate_peak(recording, band_hz=(7.0, 13.0), cross_check=True)
    assert own.frequency_hz == pytest.approx(10.2, abs=0.15)
    assert own.cross_check is not None
    assert own.cross_check.agrees
    for method in ("restingiaf", "fooof", "cog"):
        other = estimate_peak(recording, band_hz=(7.0, 13.0), method=method)
        assert other.replication
        assert other.ci95_hz is None
        assert other.frequency_hz == pytest.approx(10.2, abs=0.6)


def test_later_recordings_are_placed_on_the_clock_of_the_session(
    recording: Path, tmp_path: Path
) -> None:
    other = tmp_path / "a@b.edf"
    other.write_bytes(recording.read_bytes())
    told = compare_recordings(
        recording, recording, peak_hz=10.2, after_min=2.0, later=[f"{other}@30"]
    ).to_dict()["time_course"]
    assert told["start_known"] is True
    assert [round(one["from_min"], 2) for one in told["bins"]] == [2.05, 30.05]
    assert told["decay"]["identified"] is False


@pytest.mark.parametrize("text", ["late.edf", "late.edf@", "late.edf@soon", "@30"])
def test_a_later_recording_without_minutes_is_refused(recording: Path, text: str) -> None:
    with pytest.raises(InputError, match="give FILE@MINUTES"):
        compare_recordings(recording, recording, peak_hz=10.2, later=[text])
