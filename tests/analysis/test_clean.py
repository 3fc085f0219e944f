"""Cleaning: planted faults are mended, everything else stays sample for sample."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import mne
import numpy as np
import pytest
from numpy.typing import NDArray

from analysis import AnalysisError, Recording, assess, find_peak, load_recording
from analysis.clean import CleanReport, clean
from tests.analysis.made_head import S19, S32, made_head, raw_of
from tests.data import recording

Array = NDArray[np.float64]
FS = 128.0

pytest.importorskip("pyprep")
pytest.importorskip("autoreject")


def recorded(data: Array, names: tuple[str, ...] = S19) -> Recording:
    return Recording(raw_of(data, names), "made.edf", "0" * 64, ("read",), "01", None, True, False)


def made(seed: int = 1, **kwargs: Any) -> Array:
    return made_head(
        seed, S19, duration_s=60.0, reference=None, alpha_uv=15.0, shared_uv=25.0, **kwargs
    )


@pytest.fixture(scope="module")
def spoilt() -> tuple[Array, Array]:
    """A recording, and the same with Fz noisy, O1 knocked at 22 s, and all knocked at 40 s."""
    clear = made()
    data = clear.copy()
    rng = np.random.default_rng(2)
    n = data.shape[1]
    data[S19.index("Fz")] += 40e-6 * rng.normal(size=n)
    knock = 400e-6 * np.hanning(160)
    data[S19.index("O1"), 2850:3010] += knock
    data[:, 5180:5340] += knock * rng.uniform(0.5, 1.5, (19, 1)) * rng.choice([-1, 1], (19, 1))
    return clear, data


@pytest.fixture(scope="module")
def mended(spoilt: tuple[Array, Array]) -> tuple[Recording, Recording, CleanReport]:
    before = recorded(spoilt[1])
    after, report = clean(before, "both")
    return before, after, report


def test_planted_faults_are_found(mended: tuple[Recording, Recording, CleanReport]) -> None:
    _, after, report = mended
    assert [name for name, _ in report.bad_channels] == ["Fz"]
    assert report.interpolated == ("Fz",)
    assert report.dropped == ()
    assert report.spans == 15
    assert report.spans_rejected >= 1
    (mark,) = (m for m in after.raw.annotations if m["onset"] <= 40.5 < m["onset"] + m["duration"])
    assert mark["description"] == "BAD_autoreject"
    assert mark["duration"] == pytest.approx(4.0)
    assert after.raw.info["bads"] == []


def test_the_rest_stays_as_it_was(
    spoilt: tuple[Array, Array], mended: tuple[Recording, Recording, CleanReport]
) -> None:
    before, after, _ = mended
    old, new = before.raw.get_data(), after.raw.get_data()
    assert np.array_equal(old, spoilt[1])
    assert after.raw.info["sfreq"] == before.raw.info["sfreq"]
    assert after.raw.n_times == before.raw.n_times
    assert after.raw.ch_names == before.raw.ch_names
    assert (after.raw.info["highpass"], after.raw.info["lowpass"]) == (0.0, FS / 2.0)
    same = old == new
    good = [i for i, name in enumerate(S19) if name != "Fz"]
    assert same[good].mean() > 0.85
    assert not same[S19.index("Fz")].any()


def test_repairs_come_close_to_the_truth_without_a_step(
    spoilt: tuple[Array, Array], mended: tuple[Recording, Recording, CleanReport]
) -> None:
    clear, data = spoilt
    _, after, report = mended
    assert report.spans_repaired >= 1
    new = after.raw.get_data()
    o1 = S19.index("O1")
    assert np.abs(data[o1] - clear[o1]).max() > 300e-6
    assert np.abs(new[o1, 2600:3100] - clear[o1, 2600:3100]).max() < 40e-6
    usual = np.abs(np.diff(clear[o1])).max()
    assert np.abs(np.diff(new[o1, 2400:3200])).max() < 1.2 * usual


def test_the_same_seed_gives_the_same_answer(
    spoilt: tuple[Array, Array], mended: tuple[Recording, Recording, CleanReport]
) -> None:
    after, report = clean(recorded(spoilt[1]), "both")
    assert report == mended[2]
    assert np.array_equal(after.raw.get_data(), mended[1].raw.get_data())


def test_the_report(mended: tuple[Recording, Recording, CleanReport]) -> None:
    _, after, report = mended
    shown = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert set(shown["versions"]) == {"pyprep", "autoreject"}
    assert shown["share_rejected"] == pytest.approx(report.spans_rejected / 15)
    assert shown["share_repaired"] == pytest.approx(report.spans_repaired / 15)
    assert after.warnings[0] == "read"
    assert after.warnings[-1] == report.line()
    assert report.line().startswith("cleaned: by pyprep ")
    assert (after.path, after.sha256, after.subject) == ("made.edf", "0" * 64, "01")


def test_the_peak_stays_and_the_marked_span_is_left_out(
    spoilt: tuple[Array, Array], mended: tuple[Recording, Recording, CleanReport]
) -> None:
    clear, _ = spoilt
    _, after, _ = mended
    quality = assess(after)
    assert quality.usable_s <= 56.0
    assert "Fz" in quality.good_channels
    truth, found = find_peak(raw_of(clear, S19)), find_peak(after)
    assert truth.frequency_hz is not None
    assert found.frequency_hz == pytest.approx(truth.frequency_hz, abs=0.15)


@pytest.mark.parametrize("seed", range(3))
def test_strong_alpha_is_no_fault(seed: int) -> None:
    """The channels and spans that carry the rhythm are kept."""
    data = made_head(seed, S32, duration_s=60.0, reference=None, alpha_uv=30.0, shared_uv=25.0)
    after, report = clean(recorded(data, S32), "prep")
    assert report.bad_channels == ()
    assert np.array_equal(after.raw.get_data(), data)


def test_dropping_instead_of_interpolating(spoilt: tuple[Array, Array]) -> None:
    after, report = clean(recorded(spoilt[1]), "prep", repair="drop")
    assert report.dropped == ("Fz",)
    assert "Fz" not in after.raw.ch_names
    kept = [i for i, name in enumerate(S19) if name != "Fz"]
    assert np.array_equal(after.raw.get_data(), spoilt[1][kept])
    assert report.spans == 0


def test_dead_channels_do_not_spread() -> None:
    """A channel of NaN is interpolated; one without a place is left alone and lends nothing."""
    names = (*S19, "Extra")
    data = np.vstack([made(), np.full((1, 7680), np.nan)])
    data[4] = np.nan
    raw = mne.io.RawArray(data, mne.create_info(list(names), FS, "eeg"), verbose="ERROR")
    raw.set_montage(raw_of(data[:19], S19).get_montage(), on_missing="ignore", verbose="ERROR")
    after, report = clean(replace(recorded(made()), raw=raw), "prep")
    assert report.interpolated == (S19[4],)
    assert report.untouched == ("Extra",)
    assert np.isfinite(after.raw.get_data(picks=list(S19))).all()
    assert after.raw.info["bads"] == ["Extra"]


def test_marks_of_the_file_are_kept(spoilt: tuple[Array, Array]) -> None:
    before = recorded(spoilt[1])
    before.raw.set_meas_date(1.0e9)
    before.raw.set_annotations(
        mne.Annotations([4.0], [2.0], ["bad cough"], orig_time=before.raw.info["meas_date"])
    )
    after, report = clean(before)
    assert report.versions[0][0] == "autoreject"
    marks = {str(text) for text in after.raw.annotations.description}
    assert marks == {"bad cough", "BAD_autoreject"}
    covered = [tuple(span) for span in assess(after).artefact_spans_s]
    assert any(start <= 40.5 < stop for start, stop in covered)
    assert len(before.raw.annotations) == 1


def test_nothing_reaches_the_terminal(
    spoilt: tuple[Array, Array], capfd: pytest.CaptureFixture[str]
) -> None:
    clean(recorded(spoilt[1]), "prep")
    clean(recorded(spoilt[1][:, : 44 * 128]), "autoreject")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("method", "package"), [("autoreject", "autoreject"), ("prep", "pyprep")])
def test_a_missing_package_is_named(
    method: Any, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(AnalysisError, match=rf"{package}.*pip install 'tacs-suite\[clean\]'"):
        clean(recorded(made()), method)


def test_refusals() -> None:
    data = made()
    with pytest.raises(AnalysisError, match="method 'ica' is unknown: autoreject, prep, both"):
        clean(recorded(data), "ica")  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match="repair 'mend' is unknown"):
        clean(recorded(data), repair="mend")  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match="positions of 8 EEG electrodes or more"):
        clean(recorded(data[:6], S19[:6]), "prep")
    with pytest.raises(AnalysisError, match="10 spans of 4 s: 9 are left"):
        clean(recorded(data[:, : 128 * 38]))
    few = data.copy()
    few[:8] = 0.0
    with pytest.raises(AnalysisError, match="8 of 19 channels are bad"):
        clean(recorded(few), "prep")
    low = data[:8].copy()
    low[0] = 0.0
    with pytest.raises(AnalysisError, match="only 7 good channels"):
        clean(recorded(low, S19[:8]), "prep")


def test_a_real_recording() -> None:
    before = load_recording(recording("eegmmidb_s001/S001R02.edf"))
    after, report = clean(before, "prep")
    assert set(report.interpolated) <= {"T7", "T8", "T9", "T10"}
    assert report.interpolated
    plain, cleaned = find_peak(before), find_peak(after)
    assert plain.frequency_hz is not None
    assert cleaned.frequency_hz == pytest.approx(plain.frequency_hz, abs=0.1)
