"""The report against a real session: emulated stimulator, made EEG, real data set."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from analysis.estimate import PeakEstimate
from tacs.bids import import_recording
from tacs.cli import call
from tacs.clock import QueueInbox
from tacs.dataset import SessionPaths, ensure_dataset, find_recordings
from tacs.errors import InputError
from tacs.protocol import Individual, Protocol
from tacs.record import RecordWriter
from tacs.report import write_report
from tacs.report_figures import plot_waveform
from tacs.report_montage import site_position
from tacs.report_peak import PeakSection, SignalFile, peak_section
from tacs.report_record import RecordView
from tacs.report_signals import signal_sections
from tacs.report_summary import key_figures, summary
from tacs.report_words import clock, duration, interval, number, signed
from tacs.runner import run
from tests.analysis import made_estimate
from tests.analysis.simulate import make_eeg
from tests.tacs.made import individual_data, montage_data, protocol
from tests.tacs.page import Page
from tests.tacs.studies import study

CANARY = "<script>alert('canary')</script>"
SHORT: dict[str, Any] = {"frequency_hz": 10.0, "duration_s": 60.0, "ramp_up_s": 30.0}


def _stimulate(
    dataset: Path, prescription: Protocol, subject: str = "01", session: str = "01", **options: Any
) -> SessionPaths:
    run(
        prescription,
        "emulated:synthpal",
        subject=subject,
        session=session,
        dataset=dataset,
        clock="virtual",
        **options,
    )
    return SessionPaths.of(dataset, subject, session)


def _record_eeg(folder: Path, dataset: Path, when: str, seed: int, **options: Any) -> None:
    made = make_eeg(seed, duration_s=60.0, **options)
    file = folder / f"{when}.edf"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # EDF holds 16 bits
        made.raw().export(file, verbose="ERROR")
    import_recording(file, dataset, "01", "01", when)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("report-site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TACS_SITE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory, site: Path) -> SessionPaths:
    """A data set with EEG before and after, a stopped-free session, and hostile texts."""
    folder = tmp_path_factory.mktemp("report")
    dataset = folder / "dataset"
    _record_eeg(folder, dataset, "pre", 1)
    _record_eeg(folder, dataset, "post", 2)
    table = dataset / "participants.tsv"
    head, row = table.read_text(encoding="utf-8").splitlines()
    table.write_text(f"{head}\tnote\n{row}\t{CANARY}\n", encoding="utf-8")
    return _stimulate(dataset, protocol(**SHORT, name=f"Made {CANARY}", note=CANARY))


@pytest.fixture(scope="module")
def page(complete: SessionPaths, site: Path) -> Page:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TACS_SITE_DIR", str(site))
        return Page(write_report(complete.dataset, "01", "01"))


@pytest.fixture(scope="module")
def eegless(tmp_path_factory: pytest.TempPathFactory, site: Path) -> SessionPaths:
    """A data set with a session of two loops and nothing else; tests work on copies."""
    folder = tmp_path_factory.mktemp("report-eegless")
    prescription = protocol(
        **SHORT, montage=montage_data(("F3", "Cz", 0.4), ("F4", "Cz", 0.3), area_cm2=35.0)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TACS_SITE_DIR", str(site))
        return _stimulate(folder / "dataset", prescription, subject="02")


@pytest.fixture
def copied(eegless: SessionPaths, tmp_path: Path) -> SessionPaths:
    shutil.copytree(eegless.dataset, tmp_path / "copy")
    return SessionPaths.of(tmp_path / "copy", eegless.subject, eegless.session)


def test_the_numbers_are_those_of_the_record(page: Page, complete: SessionPaths) -> None:
    end = RecordView(complete.record).end
    assert end is not None
    got = end["delivered"]
    assert got["source"] == "measured"
    for value, digits, unit in (
        (got["current_peak_ma"], 3, "mA"),
        (2.0 * got["current_peak_ma"], 3, "mA"),
        (got["frequency_hz"], 3, "Hz"),
        (got["rectified_charge_c"], 4, "C"),
        (got["duration_s"], 1, "s"),
    ):
        assert number(value, digits, unit).replace("\u202f", " ") in page.text
    assert "1.000 mA zero-to-peak (2.000 mA peak-to-peak)" in page.text
    assert f"{10.0 * 1.0 / 25.0:.2f} A/m²" in page.text
    row = re.search(r"The same, peak-to-peak ([\d.]+) mA ([\d.]+) mA ([\d.]+) mA", page.text)
    assert row is not None
    assert [float(cell) for cell in row.groups()] == pytest.approx([2.0] * 3, abs=0.002)


def test_another_record_gives_other_numbers(copied: SessionPaths) -> None:
    text = Page(write_report(copied.dataset, "02")).text
    end = RecordView(copied.record).end
    assert end is not None
    for name, ma in end["delivered"]["electrodes"].items():
        assert name in text
        assert number(ma, 3, "mA").replace("\u202f", " ") in text
    assert "1.000 mA" not in text
    assert "0.700 mA zero-to-peak (1.400 mA peak-to-peak)" in text


def test_peak_and_outcome_are_those_of_the_recordings(page: Page, complete: SessionPaths) -> None:
    from analysis.io import load_recording
    from analysis.outcome import compare
    from analysis.peak import find_peak

    pre, post = (
        load_recording(complete.eeg / f"sub-01_ses-01_task-restclosed_acq-{when}_eeg.edf")
        for when in ("pre", "post")
    )
    peak = find_peak(pre)
    assert peak.frequency_hz is not None
    assert f"individual peak was {peak.frequency_hz:.2f} Hz" in page.text
    info = {
        "expected_direction": "increase",
        "stimulated_electrodes": ["Oz", "Cz"],
        "region": "posterior",
    }
    outcome = compare(pre.raw, post.raw, peak_hz=peak.frequency_hz, protocol_info=info).to_dict()
    assert outcome["summary"] in page.text
    assert signed(outcome["power"]["percent"], 1, "%").replace("\u202f", " ") in page.text
    adjusted = outcome["power"]["adjusted"]["percent"]
    assert signed(adjusted, 1, "%").replace("\u202f", " ") in page.text
    for word in ("Oscillation or aperiodic shift", "Imaginary coherence", "cannot separate drift"):
        assert word in page.text


def test_the_figures_of_the_peak(page: Page) -> None:
    words = [str(image["alt"]) for image in page.images]
    for start in ("Spectrum before", "Map of the head", "Peak of every channel", "Spectra of both"):
        (alt,) = (text for text in words if text.startswith(start))
        assert re.search(r"peak at 1\d\.\d\d.Hz, 95 % interval [\d.]+ to 1\d\.\d\d.Hz", alt)


def test_a_split_rhythm_is_two_frequencies_and_no_interval(tmp_path: Path) -> None:
    from analysis.io import load_recording
    from analysis.peak import find_peak

    dataset = tmp_path / "dataset"
    _record_eeg(tmp_path, dataset, "pre", 1, peak_hz=9.0, second=(2.6, 0.9))
    (file,) = find_recordings(dataset, "01")
    estimate = find_peak(load_recording(file.path))
    low, high = sorted(peak.frequency_hz for peak in estimate.peaks)
    assert (low, high) == pytest.approx((9.0, 11.6), abs=0.5)
    assert estimate.ci95_hz is None
    text = Page(write_report(dataset, "01")).text
    both = f"{low:.2f} Hz and {high:.2f} Hz"
    assert f"the rhythm was split between {both}" in text
    assert f"{low:.2f}, {high:.2f} Hz split: two peaks share the rhythm, no interval" in text
    assert f"Frequencies, split {both} 95 % interval –" in text
    assert "individual peak was" not in text


def section(estimate: PeakEstimate, individual: Individual | None = None) -> PeakSection:
    """What the report makes of an estimate."""
    signals = SignalFile(recording=Mock(), loaded=Mock(sha256="ab"), problem=None, quality={})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analysis.peak.find_peak", lambda _: estimate)
        return peak_section("rest", signals, individual)


def test_a_peak_without_an_interval_or_a_prominence_is_told_as_such() -> None:
    bare = made_estimate.found(ci95_hz=None, prominence_db=None, replication=True)
    found = section(bare)
    (value,) = (figure for figure in key_figures(None, found, None) if "peak" in figure.label)
    assert (value.value, value.note) == ("10.05\u202fHz", "no interval")
    (words,) = (text for name, text in summary(None, None, found, None) if name == "Peak")
    assert "individual peak was 10.05\u202fHz (no interval), from 8 channels" in words
    assert "None" not in words


def test_a_provisional_peak_says_so() -> None:
    found = section(made_estimate.found(provisional=True))
    assert key_figures(None, found, None)[0].note.endswith("Hz; provisional")
    assert "It is provisional: record again." in summary(None, None, found, None)[0][1]


def test_a_split_rhythm_against_the_protocol() -> None:
    planned = Individual.model_validate(individual_data(peak_hz=10.2, ci95_hz=(10.1, 10.4)))
    found = section(made_estimate.split(), planned)
    assert found.agreement.endswith("is split, 8.90\u202fHz and 10.60\u202fHz.")
    assert key_figures(None, found, None)[0].value == "8.90, 10.60\u202fHz"
    alone = section(made_estimate.no_peak(), planned)
    assert alone.agreement.endswith("That peak is not found again here.")
    assert (alone.frequency, alone.frequencies_hz) == ("–", ())


def test_the_page_needs_nothing_else(page: Page, complete: SessionPaths) -> None:
    assert page.loaded, "there are figures"
    assert all(url.startswith(("data:image/", "#")) for url in page.loaded)
    assert not re.search(r"@import|url\(|https?:", page.source)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert complete.report.stat().st_size < 3_000_000


def test_the_page_is_semantic(page: Page) -> None:
    assert page.tags.count("h1") == 1
    assert {"main", "header", "footer", "figure", "figcaption", "th", "caption"} <= set(page.tags)
    assert len(page.images) >= 7
    assert all(len(str(image.get("alt"))) > 20 for image in page.images)
    assert page.source.startswith("<!DOCTYPE html>")


def test_hostile_texts_are_shown_and_do_not_run(page: Page) -> None:
    assert page.text.count(CANARY) >= 3  # protocol's name and note, participant's note
    assert "script" not in page.tags
    assert "default-src 'none'" in page.source


def test_an_emulated_session_is_unmistakable(page: Page) -> None:
    assert "Emulated device" in page.text
    assert "no current flowed through a person" in page.text
    assert "NOT verified on hardware" in page.text
    assert "Research use only. Not a medical device." in page.text


def test_provenance_names_files_and_checks_hashes(page: Page, complete: SessionPaths) -> None:
    record = RecordView(complete.record)
    assert record.head is not None
    for digest in (
        record.sha256,
        record.head,
        record.first["protocol_sha256"],
        record.first["limits_sha256"],
    ):
        assert digest in page.text
    assert f"all {len(record.lines)} lines verify" in page.text
    assert "Head against the site's ledger ✓ verified" in page.text
    assert complete.trace.name in page.text
    for name in ("mne", "numpy", "scipy", "fooof"):
        assert re.search(rf"{name} \d+\.\d+", page.text)


def test_every_limit_is_listed_with_who_set_it(page: Page, complete: SessionPaths) -> None:
    from tacs.safety import margins

    record = RecordView(complete.record)
    assert record.protocol is not None
    assert record.limits is not None
    for margin in margins(record.protocol, record.limits):
        assert margin.limit in page.text
    assert "default" in page.text


def test_missing_parts_are_said_and_are_no_error(copied: SessionPaths) -> None:
    copied.trace.unlink()
    text = Page(write_report(copied.dataset, "02")).text
    assert "No trace of the delivered current is in the data set" in text
    assert "There is no recording of this session, so there is no peak." in text
    assert "there is no comparison" in text
    assert "Impedance was not measured" in text


def test_a_session_without_stimulation_has_a_report(tmp_path: Path) -> None:
    _record_eeg(tmp_path, tmp_path / "dataset", "pre", 3, peak_hz=None)
    text = Page(write_report(tmp_path / "dataset", "01")).text
    assert "No stimulation on record" in text
    assert "No individual peak" in text
    assert "no recording from after the session" in text


def test_a_prescription_is_not_rounded(tmp_path: Path) -> None:
    montage = montage_data(("Oz", "Cz", 0.375))
    paths = _stimulate(tmp_path / "dataset", protocol(**SHORT, montage=montage))
    text = Page(write_report(paths.dataset, "01")).text
    assert "0.375 mA zero-to-peak (0.750 mA peak-to-peak)" in text


def test_a_recording_that_cannot_be_read_is_said(copied: SessionPaths) -> None:
    copied.eeg.mkdir(parents=True, exist_ok=True)
    name = f"{copied.recording_stem('restclosed', 'pre')}_eeg.edf"
    (copied.eeg / name).write_bytes(b"not an EDF file")
    text = Page(write_report(copied.dataset, "02")).text
    assert "The recording from before cannot be read" in text
    assert str(copied.dataset) not in text


def test_a_changed_record_is_a_red_banner(copied: SessionPaths) -> None:
    lines = copied.record.read_text(encoding="utf-8").splitlines(keepends=True)
    middle = next(i for i, line in enumerate(lines) if '"level":0.5' in line)
    lines[middle] = lines[middle].replace('"level":0.5', '"level":0.4')
    copied.record.write_text("".join(lines), encoding="utf-8")
    found = Page(write_report(copied.dataset, "02"))
    assert 'class="banner alarm"' in found.source
    assert f"line {middle + 1}: its hash does not match" in found.text
    assert "Outcome unknown" in found.text
    assert "ran to its planned end" not in found.text


def test_a_cut_record_is_found_by_the_ledger(
    copied: SessionPaths, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TACS_SITE_DIR", str(site))
    lines = copied.record.read_text(encoding="utf-8").splitlines(keepends=True)
    copied.record.write_text("".join(lines[:-1]), encoding="utf-8")
    text = Page(write_report(copied.dataset, "02")).text
    assert "lines are missing at the end of the record" in text
    assert "tacs recover" in text


def test_a_first_line_that_was_changed_shows_nothing_of_the_session(copied: SessionPaths) -> None:
    text = copied.record.read_text(encoding="utf-8").replace('"suite":"', '"suite":"9', 1)
    copied.record.write_text(text, encoding="utf-8")
    found = Page(write_report(copied.dataset, "02"))
    assert "The first line of the run record does not verify" in found.text
    assert 'class="banner alarm"' in found.source
    assert "mA" not in found.text.replace("mA zero-to-peak", "")


def test_an_exchanged_trace_is_found(copied: SessionPaths, complete: SessionPaths) -> None:
    shutil.copy(complete.trace, copied.trace)
    sidecar = copied.trace.with_name(copied.trace.name.removesuffix(".tsv.gz") + ".json")
    data = json.loads(sidecar.read_text(encoding="utf-8"))
    sidecar.write_text(json.dumps({**data, "Columns": ["F3", "Cz"]}), encoding="utf-8")
    text = Page(write_report(copied.dataset, "02")).text
    assert "The trace file does not show what the record says was measured" in text


@pytest.mark.parametrize("damage", ["not gzip", "no sidecar"])
def test_a_damaged_trace_is_no_error(copied: SessionPaths, damage: str) -> None:
    if damage == "not gzip":
        copied.trace.write_bytes(b"nothing")
    else:
        copied.trace.with_name(copied.trace.name.removesuffix(".tsv.gz") + ".json").unlink()
    text = Page(write_report(copied.dataset, "02")).text
    assert "trace" in text
    assert "cannot be shown" in text or "does not show" in text


def _blinded(folder: Path, arm: dict[str, Any]) -> Page:
    """The report of a blinded session, without what differs between any two sessions."""
    study("B", arm, arm)
    prescription = protocol(
        **{**SHORT, "duration_s": 75.0, "blinding": {"label": "B"}, "note": "secret note"},
    )
    paths = _stimulate(folder / "dataset", prescription)
    # The head of the record: a hash tells nothing, but differs.
    found = Page(write_report(paths.dataset, "01"))
    digests = re.findall(r"\b[0-9a-f]{64}\b", found.text)
    for digest in digests:
        found.text = found.text.replace(digest, "HASH")
    found.text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN", found.text)
    return found


def test_a_blinded_report_does_not_depend_on_the_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms: list[dict[str, Any]] = [
        {"waveform": "tacs"},
        {"waveform": "active_sham", "sham_plateau_s": 5.0},
        {"waveform": "passive_sham"},
    ]
    pages = []
    for number_, arm in enumerate(arms):
        monkeypatch.setenv("TACS_SITE_DIR", str(tmp_path / f"site{number_}"))
        pages.append(_blinded(tmp_path / str(number_), arm))
    assert pages[0].text == pages[1].text == pages[2].text
    assert "Blinded session, arm B" in pages[0].text
    for secret in ("sham", "ramp-up", "secret note", "10.0 Hz", "0.75 C", "stim.tsv.gz", "Oz"):
        assert secret not in pages[0].text
    assert not pages[0].images


def test_the_analysis_of_a_blinded_session_uses_nothing_of_its_protocol(
    complete: SessionPaths,
) -> None:
    recordings = find_recordings(complete.dataset, "01", "01")
    individual = individual_data(peak_hz=8.0, ci95_hz=[7.9, 8.1])
    prescription = protocol(**SHORT, blinding={"label": "B"}, individual=individual)
    found = signal_sections(complete, recordings, prescription, blinded=True)
    outcome = found.outcomes[0].data
    assert outcome is not None
    assert outcome["expected_direction"] is None
    assert outcome["as_predicted"] is None
    assert not any("carried current" in text for text in outcome["warnings"])
    assert outcome["peak_hz"] == pytest.approx(10.0, abs=0.5)
    assert found.peaks[0].agreement == ""


def test_a_stopped_session_says_when_and_why(tmp_path: Path) -> None:
    inbox = QueueInbox([(20.0, "stop:the participant asked")])
    paths = _stimulate(tmp_path / "dataset", protocol(**SHORT), inbox=inbox)
    text = Page(write_report(paths.dataset, "01")).text
    assert "stopped before its planned end. Cause: the participant asked." in text
    assert "Full current was never reached" in text
    record = RecordView(paths.record)
    assert record.commanded is not None
    assert record.end is not None
    got = record.end["delivered"]
    # The envelope drawn as commanded is the one that was delivered.
    assert record.commanded.current_peak_ma == pytest.approx(got["current_peak_ma"], rel=0.01)
    assert record.commanded.rectified_charge_c == pytest.approx(got["rectified_charge_c"], rel=0.01)
    assert record.commanded.current_on_s == pytest.approx(got["duration_s"], abs=0.15)
    assert number(record.end["quiet_after_stop_s"], 3, "s").replace("\u202f", " ") in text


def test_no_individual_peak_and_faults_are_said_loudly(tmp_path: Path) -> None:
    prescription = protocol(**SHORT, fallback_note="no peak found; 10 Hz by the study's rule")
    paths = _stimulate(tmp_path / "dataset", prescription, faults=["comm_failure@40"])
    text = Page(write_report(paths.dataset, "01")).text
    assert "Not individualized" in text
    assert "10 Hz by the study's rule" in text
    assert "Faults were injected" in text
    assert "comm_failure@40" in text
    assert "The session ended by an emergency stop" in text


def test_all_sessions_of_a_person_in_one_file(eegless: SessionPaths, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    _stimulate(dataset, protocol(**SHORT), subject="02", session="02")
    # Beside it the session of another site, which this site's ledger would not let come before.
    shutil.copytree(eegless.dataset, dataset, dirs_exist_ok=True)
    path = write_report(dataset, "02", out=tmp_path / "both.html")
    assert path == tmp_path / "both.html"
    found = Page(path)
    assert found.tags.count("article") == 2
    assert found.tags.count("h1") == 1
    assert "#s2" in found.loaded
    assert "1.400 mA peak-to-peak" in found.text
    assert "2.000 mA peak-to-peak" in found.text


@pytest.mark.parametrize(
    ("subject", "session", "words"),
    [
        ("99", None, "has no session of subject '99'"),
        ("02", "77", "has no session '77'"),
        ("../x", None, "must be 1 to 32 letters"),
    ],
)
def test_what_is_not_there_is_one_clear_line(
    eegless: SessionPaths, subject: str, session: str | None, words: str
) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        write_report(eegless.dataset, subject, session)


def test_no_such_data_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such data set"):
        write_report(tmp_path / "absent", "01")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"waveform": "active_sham", "sham_plateau_s": 5.0, "name": "a $x^ {odd} name"},
        {"waveform": "passive_sham"},
        {"frequency_hz": 0.5, "montage": montage_data(("F3", "Cz", 0.5), ("F4", "Cz", 0.5, 180.0))},
    ],
)
def test_the_preview_shows_the_prescribed_peaks(changes: dict[str, Any]) -> None:
    from tacs.waveform import Waveform

    made = protocol(**changes)
    figure = plot_waveform(made)
    figure.draw_without_rendering()
    envelope, zoom = figure.axes
    waveform = Waveform(made)
    highest = max(waveform.peak_ma(name) for name in waveform.electrodes)
    drawn = max(float(np.max(line.get_ydata())) for line in envelope.lines)
    assert drawn == pytest.approx(highest)
    assert max(float(np.max(line.get_ydata())) for line in zoom.lines) == pytest.approx(
        highest, rel=1e-3, abs=1e-9
    )


def test_every_site_is_drawn_inside_the_outline_and_mirrored() -> None:
    from tacs.electrodes import SITES

    for site in SITES:
        x, y = site_position(site)
        assert x * x + y * y <= 1.2**2
        if site[-1].isdigit():
            stem, place = re.sub(r"\d", "", site), int(re.sub(r"\D", "", site))
            other = f"{stem}{place + 1 if place % 2 else place - 1}"
            assert site_position(other) == pytest.approx((-x, y))
            assert (x < 0.0) == bool(place % 2)
    assert site_position("Cz") == (0.0, 0.0)
    assert site_position("Fz")[1] > 0.0 > site_position("Oz")[1]
    with pytest.raises(ValueError, match="not a 10-10 site"):
        site_position("X1")


def test_numbers_keep_sign_unit_and_dash() -> None:
    assert number(-0.0004, 3) == "0.000"
    assert number(-1.5, 1, "mA") == "\u22121.5\u202fmA"
    assert number(None) == number(float("nan")) == "–"
    assert signed(0.0, 1) == "0.0"
    assert signed(2.0, 0, "%") == "+2\u202f%"
    assert interval((-1.0, 2.0), 0, "Hz") == "\u22121 to 2\u202fHz"
    assert duration(1200.0) == "20\u202fmin"
    assert duration(59.96, 1) == "1\u202fmin"
    assert clock(1200.86) == "20:00.9"
    assert clock(-0.01) == "0:00.0"


def test_a_record_that_lacks_what_every_session_has_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = SessionPaths.of(tmp_path, "P01", "01")
    ensure_dataset(tmp_path)
    with RecordWriter(paths.record) as writer:
        writer.append("session", 0.0, {"subject": "P01", "emulated": True}, sync=False)
        writer.append("end", 1.0, {"outcome": "done", "delivered": None}, sync=True)
    assert call(["report", str(tmp_path), "--subject", "P01", "--session", "01"]) == 2
    said = capsys.readouterr().err
    assert "lacks capabilities, limits_sha256, which every record" in said
    assert said.count("\n") == 1
