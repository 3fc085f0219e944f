"""The page of one peak estimate: every state, hostile texts, and what it must never say."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.estimate import ChannelPeak, CrossCheck, PeakEstimate, Stability
from analysis.io import load_recording
from analysis.peak import find_peak
from tacs.errors import InputError
from tacs.peak_report import peak_report
from tacs.peak_tables import clean_rows, finding_rows, key_numbers, quality_rows
from tacs.peak_words import banners, key_figures, next_steps, title
from tests.analysis import made_estimate as made
from tests.data import recording
from tests.tacs.page import Page

CANARY = "<script>alert('canary')</script>"
MOVED = Stability(9.6, 10.4, 0.8, (0.3, 1.3), None, stable=False)
OTHERWISE = CrossCheck("fooof", 9.1, agrees=False)


def page_of(folder: Path, estimate: PeakEstimate, **options: Any) -> Page:
    """Write the report and read it back."""
    out = folder / "peak.html"
    assert peak_report(estimate, out, **options) == out
    assert [path.name for path in folder.iterdir()] == ["peak.html"]
    return Page(out)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page_of(tmp_path_factory.mktemp("found"), made.found())


def test_the_numbers_are_those_of_the_estimate(page: Page) -> None:
    for text in (
        "Individual peak 10.05 Hz",
        "9.93–10.17 Hz",
        "Width at half height 1.60 Hz",
        "Centre of gravity 10.01 Hz",
        "Prominence 11.0 dB",
        "Exponent of the 1/f background 1.20",
        "Second method, fooof 10.11 Hz: agrees",
        "First / second half 10.02 Hz / 10.09 Hz",
        "+0.07 Hz (95 % interval −0.11 to +0.25 Hz)",
        "Drift over quarters +0.030 Hz per minute",
        "Band searched 7 to 13 Hz",
        "8: P7, P3, Pz, P4, P8, O1, Oz and O2",
        "Usable 2 min 51.5 s (94 %)",
        "Good EEG channels 20 of 22",
        "Stretches left out 2, 11.5 s together",
        "A2 far larger than the others",
        "mains (50 Hz) is strong in T8",
        "ab" * 32,
        "/clinic/eeg/closed.edf",
        "Recorded 2026-01-31 10:30:00 UTC",
        "Estimated 2026-01-31 12:00:00 UTC",
        "tacs-suite",
        "Research use only. Not a medical device.",
    ):
        assert text in page.text, text
    for row in made.made_table(made.TWENTY, made.PEAK_HZ):
        assert re.search(rf"\b{row.channel}\b", page.text)
        if row.frequency_hz is not None:
            assert f"{row.frequency_hz:.2f} Hz" in page.text


def test_the_page_needs_nothing_else(page: Page) -> None:
    assert len(page.images) == 4
    assert all(url.startswith("data:image/svg+xml;base64,") for url in page.loaded)
    assert not re.search(r"@import|url\(|https?:", page.source)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert "default-src 'none'" in page.source
    assert len(page.source) < 1_500_000


def test_the_page_is_semantic(page: Page) -> None:
    assert page.source.startswith("<!DOCTYPE html>")
    assert page.tags.count("h1") == page.tags.count("main") == 1
    assert {"header", "footer", "figure", "figcaption", "th", "caption"} <= set(page.tags)
    assert all(len(str(image["alt"])) > 20 for image in page.images)
    assert "@media print" in page.source


def test_a_split_rhythm_names_both_and_which_one_a_recipe_would_use(tmp_path: Path) -> None:
    found = page_of(tmp_path, made.split())
    assert "Split rhythm: 8.90 Hz and 10.60 Hz" in found.text
    assert "A recipe would use 10.60 Hz, the higher of the two" in found.text
    assert "95 % interval none: two peaks" in found.text
    assert "88 % of the height; no interval" in found.text
    assert "--fallback-note" in found.text
    assert "banner good" not in found.source


def test_a_refusal_says_why_and_what_next(tmp_path: Path) -> None:
    found = page_of(tmp_path, made.no_peak())
    assert "No individual peak" in found.text
    assert "No rhythm stands out of the background between 7 and 13 Hz." in found.text
    assert "Record again with eyes closed" in found.text
    assert "Put no other frequency in its place without saying so" in found.text
    assert "No map of the head: there is no peak to map." in found.text
    assert "Peak frequency" not in found.text
    assert "banner good" not in found.source
    assert len(found.images) == 3


def test_an_unusable_recording_has_a_page_without_figures(tmp_path: Path) -> None:
    found = page_of(tmp_path, made.unusable())
    assert "This recording cannot be used" in found.text
    assert "12 s usable: 30 s is the least." in found.text
    assert "there is no individual frequency for this person" in found.text
    assert "banner alarm" in found.source
    assert not found.images
    assert found.text.count("12 s usable: 30 s is the least") == 1  # not again as a remark


def test_an_estimate_read_from_a_file_says_what_it_lacks(tmp_path: Path) -> None:
    found = page_of(tmp_path, made.found(spectrum=None))
    assert "this estimate was read from a file" in found.text
    assert "First half 10.02 Hz, second half 10.09 Hz" in found.text
    assert len(found.images) == 1


def test_the_first_fields_alone_make_a_page(tmp_path: Path) -> None:
    found = page_of(
        tmp_path, made.old_estimate(subject=None, recording=None, recording_sha256=None)
    )
    assert "The two halves of the recording were not compared." in found.text
    assert "no account of the recording's quality" in found.text
    assert "not from a file" in found.text
    assert "Channels used 8: P7, P3, Pz, P4, P8, O1, Oz and O2" in found.text
    assert len(found.images) == 2


def test_hostile_texts_are_shown_and_do_not_run(tmp_path: Path) -> None:
    finding = {"name": CANARY, "severity": CANARY, "text": CANARY, "channels": [CANARY]}
    quality = {
        **made.QUALITY,
        "bad_channels": {CANARY: CANARY},
        "findings": [finding],
        "warnings": [f"{CANARY}!"],
    }
    estimate = made.found(
        subject=CANARY,
        recording=f"/eeg/{CANARY}.edf",
        recording_sha256=CANARY,
        method=CANARY,
        recorded_at=CANARY,
        measured_at=CANARY,
        warnings=(f"{CANARY} `code {CANARY}`",),
        channels=(CANARY,),
        channel_table=(ChannelPeak(CANARY, True, 5.0, 10.0, 0.1),),
        cross_check=CrossCheck(CANARY, 10.0, agrees=True),
        quality=quality,
        spectrum=made.made_spectrum(made.found().peaks, complete=False),
    )
    against = {"planned_hz": 10.0, "advice": CANARY, "prediction": CANARY}
    found = page_of(tmp_path, estimate, against=against, clean={CANARY: CANARY})
    assert "script" not in found.tags
    assert "<script" not in found.source.lower()
    assert found.text.count(CANARY) >= 12


def test_against_a_plan_and_cleaning(tmp_path: Path) -> None:
    against = {
        "planned_hz": 9.0,
        "played_hz": 9.012,
        "mismatch_hz": -1.04,
        "tongue_half_width_hz": 0.16,
        "inside_tongue": False,
        "advice": "Plan anew at 10.05 Hz.",
    }
    clean = {"n_components_removed": 2, "components": ["eye", "muscle"], "removed_s": 11.5}
    found = page_of(tmp_path, made.found(), against=against, clean=clean)
    for text in (
        "Planned 9.00 Hz",
        "Played by the device 9.012 Hz",
        "This peak 10.05 Hz",
        "Mismatch −1.04 Hz",
        "half-width 0.16 Hz",
        "Inside the locking range no",
        "The planned frequency does not fit Plan anew at 10.05 Hz.",
        "Components removed 2",
        "Components eye, muscle",
        "Removed 11.5 s",
    ):
        assert text in found.text, text
    assert "banner good" not in found.source


def test_without_a_plan_there_is_no_word_of_one(page: Page) -> None:
    assert "Against the planned frequency" not in page.text
    assert "Cleaning" not in page.text


DOUBTS: dict[str, dict[str, Any]] = {
    "Provisional": {"provisional": True},
    "Not for a plan": {"replication": True},
    "The peak moved": {"stability": MOVED},
    "A second method disagrees": {"cross_check": OTHERWISE},
    "No interval": {"ci95_hz": None},
}


@pytest.mark.parametrize("count", range(len(DOUBTS) + 1))
def test_a_doubt_takes_the_good_word_away(count: int) -> None:
    for chosen in itertools.combinations(DOUBTS, count):
        changes = {key: value for name in chosen for key, value in DOUBTS[name].items()}
        shown = banners(made.found(**changes), {})
        assert {banner.title for banner in shown} == (set(chosen) or {"One peak"})
        assert any(banner.kind == "good" for banner in shown) == (not chosen)
        kinds = [banner.kind for banner in shown]
        assert kinds == sorted(kinds, key=["alarm", "caution", "good"].index)


def test_a_good_word_points_to_the_warnings() -> None:
    (banner,) = banners(made.found(warnings=("muscle",)), {})
    assert "Read the warnings below" in banner.text


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (made.found(), "Individual peak 10.05 Hz"),
        (made.found(provisional=True), "Individual peak 10.05 Hz, provisional"),
        (made.split(), "Split rhythm: 8.90 Hz and 10.60 Hz"),
        (made.no_peak(), "No individual peak"),
        (made.unusable(), "This recording cannot be used"),
    ],
)
def test_titles(estimate: PeakEstimate, words: str) -> None:
    assert title(estimate).replace("\u202f", " ") == words


@pytest.mark.parametrize("make", [made.split, made.no_peak, made.unusable])
def test_what_is_no_single_peak_has_next_steps_and_no_interval(make: Any) -> None:
    estimate = make()
    assert len(next_steps(estimate)) >= 3
    assert len(key_figures(estimate)) == 4
    assert "95 % interval" not in {figure.label for figure in key_figures(estimate)}


def test_a_sure_peak_needs_no_next_step() -> None:
    assert next_steps(made.found()) == ()
    assert next_steps(made.found(provisional=True))
    assert next_steps(made.found(replication=True))


def test_rows_without_a_value_are_left_out() -> None:
    names = {name for name, _ in key_numbers(made.no_peak())}
    assert "Peak frequency" not in names
    assert "Band searched" in names
    assert quality_rows({}) == ()
    assert quality_rows({"amplitude_uv": None}) == (
        ("Typical amplitude (standard deviation)", "unit of the file unknown"),
    )


def test_findings_stand_in_order_of_gravity() -> None:
    rows = finding_rows(
        {
            "findings": [
                {"name": "a", "severity": "note", "text": "x", "channels": [], "share": None},
                {"name": "b", "severity": "refusal", "text": "y", "channels": ["O1"], "count": 2},
                {"name": "c", "severity": "warning", "text": "z", "channels": [], "share": 0.125},
            ]
        }
    )
    assert [row["name"] for row in rows] == ["b", "c", "a"]
    assert rows[0]["channels"] == "O1"
    assert rows[0]["count"] == "2"
    assert rows[1]["share"].replace("\u202f", " ") == "12 %"


def test_a_finding_is_not_said_twice(tmp_path: Path) -> None:
    finding = {"name": "muscle", "severity": "warning", "text": "jaw clenched", "channels": []}
    quality = {**made.QUALITY, "findings": [finding], "warnings": ["muscle: jaw clenched"]}
    found = page_of(tmp_path, made.unusable(quality=quality))
    assert found.text.count("jaw clenched") == 1


def test_counts_of_cleaning_carry_units() -> None:
    rows = dict(clean_rows({"n_removed": 0, "notch_hz": 50, "done": True, "why": None, "x": {}}))
    assert {key: value.replace("\u202f", " ") for key, value in rows.items()} == {
        "Removed": "0",
        "Notch": "50 Hz",
        "Done": "yes",
        "Why": "–",
        "X": "–",
    }


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    with pytest.raises(InputError, match="cannot be written") as caught:
        peak_report(made.unusable(), folder)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    out = peak_report(made.unusable(), str(tmp_path / "a" / "b.html"))
    assert out.is_file()


def test_importing_the_report_does_not_import_matplotlib() -> None:
    code = "import sys, tacs.peak_report; print('matplotlib' in sys.modules, 'mne' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("eegmmidb_s001/S001R02.edf", "found", "Individual peak 10."),
        ("eegmmidb_s001/S001R01.edf", "no_peak", "No individual peak"),
    ],
)
def test_real_recordings(tmp_path: Path, name: str, status: str, words: str) -> None:
    path = recording(name)
    estimate = find_peak(load_recording(path))
    assert estimate.status == status
    found = page_of(tmp_path, estimate)
    assert words in found.text
    assert str(estimate.recording_sha256) in found.text
    assert path.name in found.text
    for text in (*estimate.warnings, *(reason[1:] for reason in estimate.reasons)):
        assert " ".join(text.split()) in found.text
    assert len(found.images) >= (2 if status == "found" else 1)


def test_a_recording_named_to_deceive_keeps_its_name(tmp_path: Path) -> None:
    found = page_of(tmp_path, replace(made.unusable(), recording='/eeg/"><img src=x>.edf'))
    assert '"><img src=x>.edf' in found.text
    assert not found.images
