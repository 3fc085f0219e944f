"""Reading recordings: formats, names, sidecars; every bad input gets one clear line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest

from analysis import AnalysisError, RecordingError, find_peak, load_recording, read_raw
from analysis.channels import is_posterior, normal_name
from tests.analysis.simulate import make_eeg
from tests.data import recording

NAMES = ("Fp1", "O1", "O2", "Pz", "EOG1")


def made_raw(seconds: float = 40.0, names: tuple[str, ...] = NAMES) -> Any:
    return make_eeg(1, duration_s=seconds, ch_names=names).raw()


def save(raw: Any, path: Path) -> Path:
    """Write with MNE in the format of the extension."""
    if path.suffix == ".fif":
        raw.save(path, verbose="ERROR")
    else:
        mne.export.export_raw(path, raw, verbose="ERROR")
    return path


def one_line(call: Callable[[], object], path: Path, *words: str) -> str:
    """Run `call`, which must fail with one line that names the file and every word."""
    with pytest.raises(RecordingError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert path.name in text
    assert len(text) < 400
    for word in words:
        assert word in text
    return text


# --- what can be read ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a_raw.fif", "a.edf", "a.vhdr"])
def test_formats_agree(tmp_path: Path, name: str) -> None:
    raw = made_raw()
    got = load_recording(save(raw, tmp_path / name))
    assert got.raw.ch_names == list(NAMES)
    assert got.raw.info["sfreq"] == 160.0
    np.testing.assert_allclose(got.raw.get_data(), raw.get_data(), atol=0.2e-6)
    assert got.raw.get_channel_types() == ["eeg"] * 4 + ["eog"]
    assert got.raw.get_montage() is not None
    assert got.unit_known
    assert not got.sfreq_given


def test_digest_is_that_of_the_file(tmp_path: Path) -> None:
    path = save(made_raw(), tmp_path / "a_raw.fif")
    assert load_recording(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_digest_covers_companion_files(tmp_path: Path) -> None:
    path = save(made_raw(), tmp_path / "a.vhdr")
    before = load_recording(path).sha256
    signal = path.with_suffix(".eeg")
    signal.write_bytes(bytes(8) + signal.read_bytes()[8:])
    assert load_recording(path).sha256 != before


def test_sampling_rate_given_by_the_user(tmp_path: Path) -> None:
    raw = made_raw()
    raw.set_annotations(mne.Annotations([4.0], [2.0], ["bad"]))
    got = load_recording(save(raw, tmp_path / "a_raw.fif"), sfreq_hz=320.0)
    assert got.raw.info["sfreq"] == 320.0
    assert got.sfreq_given
    assert got.raw.n_times == raw.n_times
    assert got.raw.annotations.onset[0] == pytest.approx(2.0)
    assert got.raw.annotations.duration[0] == pytest.approx(1.0)
    assert any("320 Hz" in text and "160 Hz" in text for text in got.warnings)


def test_part_and_picks(tmp_path: Path) -> None:
    path = save(made_raw(), tmp_path / "a_raw.fif")
    raw = read_raw(path, picks=["o1", "EEG O2-REF"], tmin_s=5.0, tmax_s=15.0)
    assert raw.ch_names == ["O1", "O2"]
    assert raw.n_times == 1600


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"picks": ["Cz"]}, ("Cz", "O1")),
        ({"tmin_s": 30.0, "tmax_s": 20.0}, ("30", "20", "40.0 s")),
        ({"tmax_s": 41.0}, ("41",)),
        ({"tmin_s": float("nan")}, ("nan",)),
        ({"sfreq_hz": -1.0}, ("-1", "--sfreq")),
        ({"sfreq_hz": float("nan")}, ("nan",)),
    ],
)
def test_options_that_do_not_fit(
    tmp_path: Path, options: dict[str, Any], words: tuple[str, ...]
) -> None:
    path = save(made_raw(), tmp_path / "a_raw.fif")
    with pytest.raises(AnalysisError) as caught:
        load_recording(path, **options)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("written", "usual"),
    [
        ("Oz..", "Oz"),
        ("Fc5.", "FC5"),
        ("FP1", "Fp1"),
        ("EEG O1-REF", "O1"),
        ("EEG Fp2-LE", "Fp2"),
        (" PO3 ", "PO3"),
        ("Fp1-F7", "Fp1-F7"),
        ("EXG3", "EXG3"),
        ("1", "1"),
    ],
)
def test_names(written: str, usual: str) -> None:
    assert normal_name(written) == usual


def test_posterior_names() -> None:
    posterior = ["P3", "Pz", "P10", "PO7", "POz", "O1", "Oz", "PPO5h"]
    assert [is_posterior(name) for name in posterior] == [True] * 7 + [False]
    assert not any(is_posterior(name) for name in ["Cz", "CP3", "Fp1", "PG1", "Photo", "O"])


def test_names_that_would_collide_stay_apart(tmp_path: Path) -> None:
    path = save(made_raw(names=("O1", "o1.", "O2")), tmp_path / "a_raw.fif")
    assert load_recording(path).raw.ch_names == ["O1", "o1.", "O2"]


def test_types_are_guessed_from_names(tmp_path: Path) -> None:
    names = ("O1", "VEOG", "ECG", "EMG1", "TRIG", "Status", "ACC_X", "Events")
    got = load_recording(save(made_raw(names=names), tmp_path / "a_raw.fif")).raw
    assert got.get_channel_types() == ["eeg", "eog", "ecg", "emg", "stim", "stim", "misc", "stim"]


def test_subject_of_the_header_or_none(tmp_path: Path) -> None:
    raw = made_raw()
    raw.info["subject_info"] = {"his_id": "P017"}
    raw.set_meas_date(datetime(2026, 3, 1, 9, 30, tzinfo=UTC))
    got = load_recording(save(raw, tmp_path / "a_raw.fif"))
    assert got.subject == "P017"
    assert got.recorded_at == "2026-03-01T09:30:00+00:00"
    raw.info["subject_info"] = {"his_id": "X"}
    raw.set_meas_date(None)
    got = load_recording(save(raw, tmp_path / "b_raw.fif"))
    assert got.subject is None
    assert got.recorded_at is None


def test_bids_folder_and_sidecar(tmp_path: Path) -> None:
    folder = tmp_path / "sub-07" / "ses-1" / "eeg"
    folder.mkdir(parents=True)
    save(made_raw(names=("O1", "O2", "Pz", "Aux")), folder / "sub-07_ses-1_task-rest_eeg.edf")
    rows = ["name\ttype\tunits\tstatus", "O1\tEEG\tµV\tgood", "O2\tEEG\tµV\tbad"]
    table = folder / "sub-07_ses-1_task-rest_channels.tsv"
    table.write_text("\n".join([*rows, "Aux\tMISC\tV\tgood"]), encoding="utf-8")
    got = load_recording(tmp_path)
    assert got.subject == "07"
    assert got.raw.info["bads"] == ["O2"]
    assert got.raw.get_channel_types() == ["eeg", "eeg", "eeg", "misc"]
    assert any("does not list 1" in text for text in got.warnings)
    save(made_raw(), folder / "sub-07_ses-1_task-eyes_eeg.edf")
    one_line(lambda: load_recording(tmp_path), tmp_path, "2 EEG recordings", "give one")


# --- text tables -----------------------------------------------------------------------------


def biosppy_text(values: list[str], rate: str = "250.00") -> str:
    head = [
        "# Simple Text Format",
        f"# Sampling Rate (Hz):= {rate}",
        "# Date:= 2021-07-18T23:58:26",
    ]
    return "\n".join([*head, "# Labels:= EEG", *values]) + "\n"


def test_biosppy_table(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(biosppy_text([f"{v}.0" for v in range(500)]))
    got = load_recording(path)
    assert got.raw.info["sfreq"] == 250.0
    assert not got.unit_known
    assert got.recorded_at == "2021-07-18T23:58:26+00:00"
    assert got.subject is None
    assert any("unknown unit" in text for text in got.warnings)
    np.testing.assert_allclose(got.raw.get_data()[0] * 1e6, np.arange(500))


def openbci_text(counter: list[int]) -> str:
    head = [
        "%OpenBCI Raw EXG Data",
        "%Number of channels = 2",
        "%Sample Rate = 250 Hz",
        "%Board = x",
    ]
    names = "Sample Index, EXG Channel 0, EXG Channel 1, Accel Channel 0, Timestamp, Marker Channel"
    rows = [f"{c}, {10 + i}.5, {20 + i}.5, 0.1, 1557936053329, 0" for i, c in enumerate(counter)]
    return "\n".join([*head, names, *rows]) + "\n"


def test_openbci_table(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(openbci_text([254, 255, 0, 1, 4]))
    got = load_recording(path)
    assert got.raw.ch_names == ["1", "2"]
    assert got.unit_known
    assert got.recorded_at == "2019-05-15T16:00:53.329000+00:00"
    assert any("2 packets were lost" in text for text in got.warnings)
    np.testing.assert_allclose(got.raw.get_data()[0] * 1e6, np.arange(5) + 10.5)


def test_plain_table_needs_a_rate(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("TIME,O1,O2\n" + "".join(f"{i},{i}.0,1.0\n" for i in range(300)))
    one_line(lambda: load_recording(path), path, "sampling rate", "--sfreq")
    assert load_recording(path, sfreq_hz=100.0).raw.info["sfreq"] == 100.0
    crown = tmp_path / "crown.csv"
    names = "CP3,C3,F5,PO3,PO4,F6,C4,CP4"
    crown.write_text(f"TIME,{names}\n" + "".join(f"{i}" + ",1.5" * 8 + "\n" for i in range(300)))
    got = load_recording(crown)
    assert got.raw.info["sfreq"] == 256.0
    assert not got.unit_known


# --- what cannot be read ---------------------------------------------------------------------

EDF_HEAD = b"0".ljust(8) + b"X".ljust(80) + b"X".ljust(80) + b"01.01.2601.01.01"


def annotations_only_edf() -> bytes:
    """EDF+ with nothing but an annotation signal."""
    head = EDF_HEAD + b"512".ljust(8) + b"EDF+C".ljust(44) + b"1".ljust(8) + b"1".ljust(8)
    head += b"1".ljust(4) + b"EDF Annotations".ljust(16) + b" " * 80 + b" " * 8 + b"-1".ljust(8)
    head += b"1".ljust(8) + b"-32768".ljust(8) + b"32767".ljust(8) + b" " * 80 + b"32".ljust(8)
    return head + b" " * 32 + b"+0\x14\x14\x00".ljust(64, b"\x00")


BAD_CONTENT: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "empty EDF": ("a.edf", b"", ("empty", "copy")),
    "text named EDF": ("a.edf", b"subject,score\n" * 200, ("not an EDF", "extension")),
    "text named BDF": ("a.bdf", b"hello" * 100, ("not a BDF",)),
    "text named FIF": ("a_raw.fif", b"hello" * 100, ("not a FIF",)),
    "text named SET": ("a.set", b"hello" * 100, ("not a SET",)),
    "text named VHDR": ("a.vhdr", b"hello" * 100, ("not a VHDR",)),
    "PNG": ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(99), ("PNG picture",)),
    "PNG named EDF": ("a.edf", b"\x89PNG\r\n\x1a\n" + bytes(99), ("PNG picture",)),
    "JPEG": ("a.jpg", b"\xff\xd8\xff\xe0" + bytes(99), ("JPEG picture",)),
    "PDF": ("a.pdf", b"%PDF-1.7" + bytes(99), ("PDF document",)),
    "spreadsheet": ("a.xlsx", b"PK\x03\x04" + bytes(99), ("office document",)),
    "unknown extension": ("a.docx", b"hello" * 9, (".docx", "export it as EDF")),
    "no extension": ("eeg", b"hello" * 9, ("no extension",)),
    "cut-off EDF header": ("a.edf", EDF_HEAD, ("header", "copy")),
    "annotations only": ("a.edf", annotations_only_edf(), ("annotations only",)),
    "unknown text": ("a.txt", b"hello\nworld\n", ("unknown layout",)),
    "binary named TXT": ("a.txt", b"\x00\xff\xfe" * 99, ("binary",)),
    "table without numbers": ("a.csv", b"TIME,O1\n0,x\n1,y\n", ("numbers",)),
    "table of one row": ("a.csv", b"TIME,O1\n0,1\n", ("no samples",)),
    "table with a gap": ("a.csv", b"TIME,O1,O2\n0,1,2\n1,2\n", ("numbers",)),
    "table with odd times": (
        "a.csv",
        b"TIME,O1\n0.0,1\n0.1,2\n0.2,3\n0.9,4\n1.1,5\n5,6\n",
        ("not even", "--sfreq"),
    ),
    "text named XDF": ("a.xdf", b"hello" * 100, ("not an XDF",)),
    "text named CNT": ("a.cnt", b"hello" * 100, ("not a CNT",)),
    "text named NEDF": ("a.nedf", b"hello" * 100, ("not an NEDF",)),
    "text named EGI raw": ("a.raw", b"hello" * 100, ("not a continuous EGI",)),
    "text named EASY": ("a.easy", b"hello world\n" * 100, ("2 columns",)),
    "cut-off GZIP": ("a.csv.gz", b"\x1f\x8b\x08\x00\x00", ("cut off",)),
    "no table in ARFF": ("a.arff", b"hello\n", ("unknown layout",)),
    "rate missing": ("a.txt", b"# Simple Text Format\n1.0\n2.0\n", ("sampling rate",)),
    "only an ECG": (
        "a.txt",
        biosppy_text(["1.0"] * 500).replace("= EEG", "= ECG").encode(),
        ("no EEG channel", "ecg"),
    ),
}


@pytest.mark.parametrize("case", BAD_CONTENT)
def test_bad_content(tmp_path: Path, case: str) -> None:
    name, content, words = BAD_CONTENT[case]
    path = tmp_path / name
    path.write_bytes(content)
    one_line(lambda: load_recording(path), path, *words)


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("name", ["a.edf", "a_raw.fif", "a.bdf"])
def test_cut_off_files(tmp_path: Path, name: str, share: float) -> None:
    path = save(made_raw(), tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    one_line(lambda: load_recording(path), path, "cut off", "copy")


def test_cut_off_brainvision(tmp_path: Path) -> None:
    path = save(made_raw(), tmp_path / "a.vhdr")
    signal = path.with_suffix(".eeg")
    signal.write_bytes(signal.read_bytes()[:-7])
    one_line(lambda: load_recording(path), signal, "cut off")
    signal.unlink()
    one_line(lambda: load_recording(path), path, "a.eeg", "not beside it")


def test_cut_off_eeglab(tmp_path: Path) -> None:
    source = recording("restingiaf_ec/tute_01_1.set")
    path, signal = tmp_path / "tute_01_1.set", tmp_path / "tute_01_1.fdt"
    path.write_bytes(source.read_bytes())
    one_line(lambda: load_recording(path), path, "tute_01_1.fdt", "not beside it")
    whole = source.with_suffix(".fdt").read_bytes()
    signal.write_bytes(whole[: len(whole) // 2])
    one_line(lambda: load_recording(path), path, "cut off")
    path.write_bytes(source.read_bytes()[:20000])
    one_line(lambda: load_recording(path), path, "cut off")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    one_line(lambda: load_recording(tmp_path / "no.edf"), tmp_path / "no.edf", "does not exist")
    one_line(lambda: load_recording(tmp_path), tmp_path, "folder", "give a recording file")


@pytest.mark.parametrize("name", ["a.edf", "a.txt"])
def test_no_permission(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / name
    path.write_bytes(b"0       ")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    one_line(lambda: load_recording(path), path, "permission")


def test_nan_channel_and_slow_sampling_are_read_but_judged(tmp_path: Path) -> None:
    raw = made_raw(seconds=100.0, names=("O1", "O2", "Pz"))
    data = raw.get_data()
    data[0, 1000] = np.nan
    path = save(mne.io.RawArray(data, raw.info, verbose="ERROR"), tmp_path / "a_raw.fif")
    found = find_peak(load_recording(path), now=datetime(2026, 1, 1, tzinfo=UTC))
    assert found.status == "found"
    assert found.channels == ("O2", "Pz")
    assert any("O1" in text and "NaN" in text for text in found.warnings)
    slow = save(make_eeg(1, sfreq_hz=1.0, duration_s=300.0).raw(), tmp_path / "b_raw.fif")
    judged = find_peak(load_recording(slow), now=datetime(2026, 1, 1, tzinfo=UTC))
    assert judged.status == "unusable"
    assert any("sampling rate 1 Hz is too low" in text for text in judged.reasons)


# --- real files ------------------------------------------------------------------------------


def test_real_edf_with_dots_in_names() -> None:
    path = recording("eegmmidb_s001/S001R02.edf")
    got = load_recording(path)
    assert got.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {"FC5", "Fp1", "Oz", "POz", "T10"} <= set(got.raw.ch_names)
    assert got.subject is None
    assert got.recorded_at == "2009-08-12T16:15:00+00:00"


@pytest.mark.parametrize(
    ("name", "sfreq_hz", "n_eeg", "subject"),
    [
        ("eeglab_data/eeglab_data.set", 128.0, 30, None),
        ("ssvep_exo/subject01_2012.07.06-19.02.16_raw.fif", 256.0, 8, "S1"),
        ("biosppy/eeg_ec.txt", 125.0, 1, None),
        ("crown_short/eyes_closed.csv", 256.0, 8, None),
        ("openbci_gui/OpenBCI_GUI-v6-blinks-jawClench-alpha.txt", 250.0, 8, None),
        ("tiny_bids", 5000.0, 64, "01"),
    ],
)
def test_real_files(name: str, sfreq_hz: float, n_eeg: int, subject: str | None) -> None:
    got = load_recording(recording(name))
    assert got.raw.info["sfreq"] == sfreq_hz
    assert got.raw.get_channel_types().count("eeg") == n_eeg
    assert got.subject == subject
