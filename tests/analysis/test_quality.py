"""The quality gate: every fault is planted and must be named."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import mne
import numpy as np
import pytest

from analysis import Quality, assess, find_peak, load_recording
from analysis.mains import STANDARD_RATES_HZ
from analysis.quality import examine
from tests.analysis.simulate import MadeEEG, make_eeg
from tests.data import recording

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEAD = (
    *("Fp1", "Fp2", "F3", "F4", "F7", "F8", "Fz", "C3", "C4", "Cz", "T7", "T8", "CP1", "CP2"),
    *("P3", "P4", "Pz", "O1", "O2"),
)


def changed(made: MadeEEG, channel: int, values: Any) -> Any:
    data = made.data_v.copy()
    data[channel] = values
    return replace(made, data_v=data).raw()


def test_clean_recording_passes() -> None:
    found = assess(make_eeg(3, duration_s=120.0).raw())
    assert found.usable
    assert found.reasons == ()
    assert found.warnings == ()
    assert found.bad_channels == ()
    assert found.usable_s == pytest.approx(120.0)
    assert found.amplitude_uv == pytest.approx(10.0, rel=0.4)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["usable"] is True
    assert set(found.to_dict()) == set(Quality.__slots__)


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (np.nan, "NaN"),
        (np.inf, "NaN or infinite"),
        (0.0, "flat"),
        (3.0e-6, "flat"),
    ],
)
def test_dead_channels(fault: float, word: str) -> None:
    found = assess(changed(make_eeg(4, duration_s=60.0), 2, fault))
    assert found.usable
    assert [name for name, _ in found.bad_channels] == ["P4"]
    assert word in dict(found.bad_channels)["P4"]
    assert "P4" not in found.good_channels
    assert any("P4" in text for text in found.warnings)


def test_clipped_channel() -> None:
    made = make_eeg(5, duration_s=60.0)
    wave = made.data_v[1]
    found = assess(changed(made, 1, np.clip(wave, -0.8 * wave.std(), 0.8 * wave.std())))
    assert "clipped" in dict(found.bad_channels)["Pz"]


@pytest.mark.parametrize(("factor", "word"), [(30.0, "larger"), (1 / 30.0, "smaller")])
def test_channel_of_another_size(factor: float, word: str) -> None:
    made = make_eeg(6, duration_s=60.0)
    found = assess(changed(made, 0, made.data_v[0] * factor))
    assert [name for name, _ in found.bad_channels] == ["P3"]
    assert word in dict(found.bad_channels)["P3"]


def test_channel_unlike_the_others() -> None:
    made = make_eeg(7, duration_s=60.0, ch_names=HEAD)
    shared = made.data_v.mean(axis=0) + made.data_v[0]
    data = made.data_v * 0.5 + shared
    data[5] = (
        make_eeg(99, peak_hz=None, exponent=0.5, duration_s=60.0, ch_names=("F8",)).data_v[0] * 2.0
    )
    found = assess(replace(made, data_v=data).raw())
    assert dict(found.bad_channels) == {"F8": "unlike every other channel"}


def test_independent_channels_are_not_all_thrown_out() -> None:
    rng = np.random.default_rng(1)
    raw = replace(
        make_eeg(7, duration_s=60.0, ch_names=HEAD), data_v=rng.normal(0, 1e-5, (19, 9600))
    )
    assert assess(raw.raw()).bad_channels == ()


def test_every_channel_bad_is_unusable() -> None:
    made = make_eeg(8, duration_s=60.0)
    found = assess(replace(made, data_v=np.full_like(made.data_v, np.nan)).raw())
    assert not found.usable
    assert "every EEG channel is bad" in found.reasons[0]
    assert find_peak(replace(made, data_v=made.data_v * 0.0).raw(), now=NOW).status == "unusable"


def test_bad_marks_of_the_file_are_kept() -> None:
    raw = make_eeg(9, duration_s=60.0).raw()
    raw.info["bads"] = ["Oz"]
    assert dict(assess(raw).bad_channels) == {"Oz": "marked bad in the file"}


@pytest.mark.parametrize(("seconds", "usable"), [(20.0, False), (29.0, False), (45.0, True)])
def test_short_recordings(seconds: float, usable: bool) -> None:
    found = assess(make_eeg(10, duration_s=seconds).raw())
    assert found.usable is usable
    texts = found.warnings if usable else found.reasons
    assert any(f"{seconds:.0f}" in text for text in texts)
    assert any("provisional" in text for text in found.warnings) is usable


def test_artefacts_are_dropped_and_counted() -> None:
    made = make_eeg(11, duration_s=100.0)
    data = made.data_v.copy()
    for start_s in (12, 40, 41, 77):
        data[:, start_s * 160 : (start_s + 1) * 160] += 3e-4 * np.hanning(160)
    found = assess(replace(made, data_v=data).raw())
    assert found.artefact_spans_s == ((12.0, 13.0), (40.0, 42.0), (77.0, 78.0))
    assert found.usable_s == pytest.approx(96.0)
    assert found.warnings == ("artefacts: 4 s with gross artefacts left out",)
    (finding,) = found.findings
    assert finding.name == "artefacts"
    assert finding.share == pytest.approx(0.04)
    assert found.artefact_mask(data.shape[1]).sum() == 4 * 160


def test_artefacts_outside_the_region_do_not_count() -> None:
    made = make_eeg(12, duration_s=60.0, ch_names=HEAD)
    data = made.data_v.copy()
    data[:7, 1600:1760] += 3e-4 * np.hanning(160)
    raw = replace(made, data_v=data).raw()
    assert assess(raw).usable_s == pytest.approx(59.0)
    assert assess(raw, region=["P3", "P4", "O1", "O2"]).usable_s == pytest.approx(60.0)


def test_annotated_parts_are_left_out() -> None:
    raw = make_eeg(13, duration_s=60.0).raw()
    raw.set_annotations(mne.Annotations([10.0, 20.0, 30.0], [5.0] * 3, ["BAD_move", "bad", "rest"]))
    assert assess(raw).usable_s == pytest.approx(50.0)


@pytest.mark.parametrize("factor", [1e3, 1e-3])
def test_wrong_unit_is_named(factor: float) -> None:
    made = make_eeg(14, duration_s=60.0)
    found = assess(replace(made, data_v=made.data_v * factor).raw())
    assert found.usable
    (text,) = found.warnings
    assert text.startswith("wrong_unit: ")
    assert "unit is probably wrong by 1000" in text


@pytest.mark.parametrize(("mains_hz", "sfreq_hz"), [(50.0, 250.0), (60.0, 160.0), (60.0, 1000.0)])
def test_mains_at_its_place(mains_hz: float, sfreq_hz: float) -> None:
    made = make_eeg(15, sfreq_hz=sfreq_hz, duration_s=60.0, line=(mains_hz, 3.0))
    found = assess(made.raw())
    assert found.mains_hz == mains_hz
    assert found.suggested_sfreq_hz is None
    assert found.line_noise_db is not None
    assert 15.0 < found.line_noise_db < 45.0
    (note,) = found.findings
    assert (note.name, note.severity) == ("line_noise", "note")
    assert "does not touch" in note.text
    assert found.warnings == ()


def test_mains_stronger_than_the_eeg_is_a_warning() -> None:
    plain = make_eeg(15, sfreq_hz=250.0, duration_s=60.0)
    found = assess(make_eeg(15, sfreq_hz=250.0, duration_s=60.0, line=(50.0, 60.0)).raw())
    (text,) = found.warnings
    assert text.startswith("line_noise: mains at 50 Hz")
    power = np.abs(np.fft.rfft(plain.data_v * 1e6, axis=1)) ** 2 * 2.0 / 15000**2
    freqs = np.fft.rfftfreq(15000, 1.0 / 250.0)
    eeg = np.exp(np.log(power[:, (freqs >= 2.0) & (freqs <= 45.0)].sum(axis=1)).mean())
    over = int(re.findall(r"by (\d+) dB", text)[0])
    assert over == pytest.approx(10.0 * np.log10(0.5 * 60.0**2 / eeg), abs=1.0)


@pytest.mark.parametrize("line_hz", [12.5, 16.7, 33.3, 40.0])
def test_a_line_inside_the_analysed_range(line_hz: float) -> None:
    made = make_eeg(19, sfreq_hz=250.0, duration_s=90.0)
    assert "line_noise" not in {finding.name for finding in assess(made.raw()).findings}
    found = assess(make_eeg(19, sfreq_hz=250.0, duration_s=90.0, line=(line_hz, 4.0)).raw())
    (text,) = found.warnings
    assert text.startswith("line_noise: sharp line inside the analysed range")
    assert f"{line_hz:.2f} Hz" in text


@pytest.mark.parametrize("seed", range(10))
def test_narrow_rhythms_are_no_lines(seed: int) -> None:
    made = make_eeg(seed, duration_s=120.0, width_hz=0.2, height_log10=1.5, beta=True)
    assert "line_noise" not in {finding.name for finding in assess(made.raw()).findings}


@pytest.mark.parametrize(
    ("true_hz", "stated_hz", "mains_hz"),
    [
        (250.0, 125.0, 50.0),
        (256.0, 128.0, 60.0),
        (250.0, 500.0, 50.0),
        (500.0, 1000.0, 60.0),
        (250.0, 256.0, 50.0),
        (512.0, 500.0, 50.0),
        (1000.0, 1024.0, 60.0),
    ],
)
def test_wrong_clock_is_betrayed_by_mains(
    true_hz: float, stated_hz: float, mains_hz: float
) -> None:
    made = make_eeg(16, sfreq_hz=true_hz, duration_s=90.0, line=(mains_hz, 3.0))
    wrong = replace(made, sfreq_hz=stated_hz)
    found = assess(wrong.raw())
    assert found.suggested_sfreq_hz == pytest.approx(true_hz)
    assert true_hz in STANDARD_RATES_HZ
    text = next(text for text in found.warnings if text.startswith("sampling_rate_suspect"))
    assert f"--sfreq {true_hz:g}" in text
    refused = find_peak(wrong.raw(), now=NOW)
    assert refused.status == "unusable"
    assert any("sampling_rate_suspect" in reason for reason in refused.reasons)


def test_no_suspicion_without_cause() -> None:
    """Beta rhythm, clean recording, notched recording, harmonics of true mains: all fine."""
    clean = make_eeg(17, sfreq_hz=250.0, duration_s=90.0)
    beta = make_eeg(17, sfreq_hz=250.0, duration_s=90.0, peak_hz=12.5, beta=True)
    harmonics = make_eeg(17, sfreq_hz=500.0, duration_s=90.0, line=(50.0, 3.0))
    time_s = np.arange(harmonics.data_v.shape[1]) / 500.0
    both = harmonics.data_v + 4e-6 * np.sin(2 * np.pi * 100.0 * time_s)
    notched = mne.filter.notch_filter(both, 500.0, [50.0], verbose="ERROR")
    for made in (
        clean,
        beta,
        replace(harmonics, data_v=both),
        replace(harmonics, data_v=notched),
    ):
        assert assess(made.raw()).suggested_sfreq_hz is None


def test_slow_sampling_is_unusable() -> None:
    found = assess(make_eeg(18, sfreq_hz=50.0).raw())
    assert not found.usable
    assert found.reasons[0].startswith("sampling_rate_low: sampling rate 50 Hz is too low")


def test_every_line_begins_with_its_name() -> None:
    made = make_eeg(20, duration_s=25.0, sfreq_hz=50.0)
    data = made.data_v * 1e4
    data[0], data[1, 3] = 0.0, np.nan
    found = assess(replace(made, data_v=data).raw())
    assert {finding.name for finding in found.findings} == {
        *("sampling_rate_low", "flat_channels", "bad_channels", "too_short", "wrong_unit")
    }
    assert len(found.findings) == len(found.reasons) + len(found.warnings)
    for finding in found.findings:
        assert finding.line in found.reasons + found.warnings
        assert re.match(r"[a-z_]+: \S", finding.line)
        assert finding.to_dict()["name"] == finding.name
    shown = json.loads(json.dumps(found.to_dict(), allow_nan=False))["findings"]
    assert [item["severity"] for item in shown].count("refusal") == len(found.reasons) == 2


def test_no_eeg_channel() -> None:
    info = mne.create_info(["A", "B"], 250.0, "misc")
    found = assess(mne.io.RawArray(np.zeros((2, 10000)), info, verbose="ERROR"))
    assert found.reasons[0] == "no_eeg: no EEG channel: give an EEG recording"


def test_seconds_that_end_in_the_middle_of_a_piece() -> None:
    """Odd rates and lengths, single samples, and recordings shorter than any window."""
    rng = np.random.default_rng(21)
    for sfreq_hz, n in ((163.84, 9973), (250.0, 1), (250.0, 2), (250.0, 400), (128.0, 1025)):
        info = mne.create_info(["O1", "O2"], sfreq_hz, "eeg")
        raw = mne.io.RawArray(rng.normal(0.0, 1e-5, (2, n)), info, verbose="ERROR")
        found = assess(raw)
        assert found.usable is (n / sfreq_hz > 30.0)
        assert found.duration_s == pytest.approx(n / sfreq_hz)


@pytest.mark.parametrize("name", ["biosppy/eeg_ec.txt", "biosppy/eeg_eo.txt"])
def test_real_recording_with_a_wrong_clock(name: str) -> None:
    path = recording(name)
    found = assess(load_recording(path))
    assert found.suggested_sfreq_hz == 250.0
    assert any("mains seems to appear at 25 Hz" in text for text in found.warnings)
    assert any("pass --sfreq 250" in text for text in found.warnings)
    mended = assess(load_recording(path, sfreq_hz=250.0))
    assert mended.mains_hz == 50.0
    assert mended.suggested_sfreq_hz is None


def test_real_recording_in_millivolt() -> None:
    found = assess(load_recording(recording("ssvep_exo/subject01_2012.07.06-19.02.16_raw.fif")))
    assert found.usable
    assert any("far too large" in text for text in found.warnings)


@pytest.mark.parametrize(
    "name",
    [
        *(f"eegmmidb_s001/S001R0{i}.edf" for i in (1, 2, 3)),
        *(f"restingiaf_ec/tute_0{i}_{j}.set" for i in (1, 2) for j in (1, 2)),
        "eeglab_data/eeglab_data.set",
    ],
)
def test_good_real_recordings_pass(name: str) -> None:
    found = assess(load_recording(recording(name)))
    assert found.usable
    assert found.warnings == ()


def test_one_examination_judges_every_region_as_a_fresh_look_does() -> None:
    made = make_eeg(9, duration_s=90.0, ch_names=HEAD)
    data = made.data_v.copy()
    for name in ("O1", "O2", "Pz"):  # a jolt that only the back of the head shows
        data[HEAD.index(name), 4000:4160] += 2e-3 * np.hanning(160)
    raw = replace(made, data_v=data).raw()
    examined = examine(raw)
    for region in (None, ["O1", "O2", "Pz"], ["F3", "F4"], None):
        assert examined.judge(region) == assess(raw, region)
    assert examined.judge(["O1", "O2", "Pz"]).usable_s < examined.judge(["F3", "F4"]).usable_s
    assert len(examined.shown) == 2
    assert find_peak(examined, picks=["O1"], now=NOW) == find_peak(raw, picks=["O1"], now=NOW)
