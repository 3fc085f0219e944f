"""The page of a profile: what it says first in every state, and what never."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("benchmarks.profile_made", reason="benchmarks are not here")

from analysis.profile import analyze_profile
from analysis.profile_design import difference_of
from analysis.profile_norm import hold_against, make_norm
from benchmarks.profile_made import made_sweeps, made_trains
from tacs.errors import InputError
from tacs.profile_methods import profile_methods
from tacs.profile_page_words import first_words, key_figures, open_interval, title
from tacs.profile_report import profile_report
from tacs.profile_tables import beside_rows, exploratory_rows
from tests.tacs.page import Page

CONNECTIVITY = "Connectivity (debiased wPLI²) at the drive, block less gap"
CANARY = "<script>alert('canary')</script>"
WHERE = {
    "subject": "07",
    "recording": "/eeg/sub-07_eeg.fif",
    "recording_sha256": "ab" * 32,
    "recorded_at": "2026-01-31T10:30:00+00:00",
    "blocks": "/eeg/blocks.tsv",
    "blocks_sha256": "cd" * 32,
    "plan": {"seed": 17},
    "sham": None,
    "rest_recording": None,
    "norm": None,
    "after_session": None,
    "visits": [],
}


def told(profile: Any, **more: Any) -> dict[str, Any]:
    return {**profile.to_dict(), **WHERE, **more}


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


@pytest.fixture(scope="module")
def sweep() -> Any:
    return made_sweeps(1, (2.0,), 21, block_s=40.0)[0]


@pytest.fixture(scope="module")
def response(sweep: Any) -> Any:
    return analyze_profile(sweep.raw, sweep.blocks, mode="photic", n_permutations=999)


@pytest.fixture(scope="module")
def silent() -> Any:
    one = made_sweeps(1, (2.0,), 21, block_s=40.0, real_ma=0.0)[0]
    return analyze_profile(one.raw, one.blocks, mode="virtual", n_permutations=999)


@pytest.fixture(scope="module")
def trains() -> Any:
    one = made_trains(1, 6.0, 60, 14, artefact=500.0)[0]
    return analyze_profile(one.raw, one.blocks, mode="electrical", n_permutations=999)


def page_of(folder: Path, profile: Any, data: dict[str, Any]) -> Page:
    page, numbers = profile_report(profile, data, folder / "profile.html")
    assert sorted(path.name for path in folder.iterdir()) == ["profile.html", "profile.json"]
    assert json.loads(numbers.read_text("utf-8")) == json.loads(json.dumps(data))
    return Page(page)


def test_a_response_is_told_with_its_numbers(response: Any, tmp_path: Path) -> None:
    data = told(response)
    page = page_of(tmp_path, response, data)
    (curve,) = data["resonance"]
    low, high = curve["centre_ci95_hz"]
    assert "Response: the rhythm followed the drive" in page.text
    assert f"It answers most at {curve['centre_hz']:.2f} Hz" in page.text
    assert f"95 % interval {low:.2f} to {high:.2f} Hz" in page.text
    for text in (
        "sham blocks do not, or clearly less",
        "Exploratory Not corrected for the number of looks; no part of the finding above.",
        "Not individual: fewer than four frequencies were repeated",
        "Frequency tolerance",
        "Seed of the order 17",
        "ab" * 32,
        "Research use only. Not a medical device.",
        "tacs-suite",
        "24: references beside the drive",
    ):
        assert text in page.text, text
    order = [block for block in data["design"]["order"] if block["kind"] == "drive"]
    assert ", ".join(f"{block['frequency_hz']:g}" for block in order[-3:]) in page.text
    for row in [*data["curve"], *data["sham_curve"]]:
        assert f"{row['plv2']:.4f}" in page.text
    assert len(page.images) == 2
    assert not re.search(r"diagnos|patient has|patholog|abnormal", page.text, re.IGNORECASE)


def test_the_page_needs_nothing_else(response: Any, tmp_path: Path) -> None:
    page = page_of(tmp_path, response, told(response))
    assert all(url.startswith("data:image/svg+xml;base64,") for url in page.loaded)
    assert not re.search(r"@import|url\(|https?:", page.source)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert "default-src 'none'" in page.source
    assert page.tags.count("h1") == page.tags.count("main") == 1


def test_no_response_says_what_would_have_been_seen(silent: Any, tmp_path: Path) -> None:
    page = page_of(tmp_path, silent, told(silent))
    assert "No response found" in page.text
    assert f"would have shown locking of {silent.detectable_plv:.2f} or more" in page.text
    assert "not proof" in page.text
    assert "It answers most" not in page.text
    assert "Resonance curve none: no response that is beyond chance and sham" in page.text
    assert "Virtual patient" in page.text


def test_sham_that_answers_is_named(response: Any) -> None:
    data = told(response)
    data |= {"verdict": "undetermined", "resonance": [], "resonance_reason": "sham"}
    data["sham_curve"] = copy.deepcopy(data["sham_curve"])
    data["sham_curve"][4]["p_corrected"] = 0.001
    assert title(data).startswith("Undetermined")
    words = first_words(data)
    assert f"at {data['sham_curve'][4]['frequency_hz']:g} Hz it did so in sham as well" in words
    assert "is not shown to be the brain" in words


def test_a_frequency_that_sham_shares_is_not_among_those_that_answer(response: Any) -> None:
    data = told(response)
    answered = [row for row in data["curve"] if row["p_corrected"] < 0.05]
    assert len(answered) >= 3
    shared, other = answered[0], answered[1]
    data["sham_curve"] = copy.deepcopy(data["sham_curve"])
    for row in data["sham_curve"]:
        if row["frequency_hz"] == shared["frequency_hz"]:
            row |= {"p_corrected": 0.001, "response_ci95_plv2": [0.0, 0.9]}
        if row["frequency_hz"] == other["frequency_hz"]:
            row |= {"p_corrected": 0.001, "response_ci95_plv2": [0.0, 1e-9]}
    first, rest = first_words(data).split(" Hz the rhythm kept", 1)
    assert f"{shared['frequency_hz']:g}" not in first
    assert f"{other['frequency_hz']:g}" in first
    assert f"At {shared['frequency_hz']:g} Hz sham answers as well" in rest


def test_trains_speak_of_the_echo_alone(trains: Any, tmp_path: Path) -> None:
    data = told(trains)
    known = {"tau_s": 0.3, "tau_ci95_s": [0.2, 0.45], "tau_reason": None, "tau_over_memory": None}
    data["echo"] = [{**data["echo"][0], **known}]
    page = page_of(tmp_path, trains, data)
    assert "kept the drive's phase after the trains" in page.text
    assert "300 ms (200 to 450)" in page.text
    wide = {"tau_s": None, "tau_reason": "the interval is open"}
    row = dict(beside_rows({**data, "echo": [{**data["echo"][0], **wide}]}))
    assert any("no time constant: the interval is open" in value for value in row.values())
    assert "nothing is said of the time under current" in page.text
    assert "No sham" in page.text
    assert "Read of each gap 0.10 to 0.40 s after it" in page.text
    assert len(page.images) == 2


def test_too_few_trains_report_no_echo(trains: Any) -> None:
    data = told(trains)
    data["echo"] = [{**data["echo"][0], "reportable": False, "n_trains": 12}]
    assert "too few to report one" in key_figures(data)[1].note
    assert plain(key_figures(data)[1].value) == "–"
    row = next(value for name, value in beside_rows(data) if name.startswith("Echo"))
    assert row == "12 trains: too few to report one, found or absent"


def test_three_frequencies_give_no_curve_and_no_centre(sweep: Any) -> None:
    hz = sorted({b.frequency_hz for b in sweep.blocks})[3:6]
    rows = [b for b in sweep.blocks if b.frequency_hz in hz]
    profile = analyze_profile(sweep.raw, rows, mode="photic", n_permutations=999)
    data = told(profile)
    assert "No resonance curve: fewer than 5 frequencies" in first_words(data)
    assert [one.label for one in key_figures(data)][1] == "Clearest response at"


def test_a_level_that_does_not_answer_by_itself_says_so(response: Any) -> None:
    data = told(response)
    weak = {**data["resonance"][0], "level": 0.5}
    row = {**data["curve"][0], "level": 0.5, "p_corrected": 0.4}
    data |= {"resonance": [*data["resonance"], weak], "curve": [*data["curve"], row]}
    names = [name for name, _ in beside_rows(data)]
    assert "Resonance, level 2" in names
    assert "Resonance, level 0.5, where no frequency answers by itself" in names


def test_methods_describe_only_what_was_done(silent: Any, trains: Any) -> None:
    text, references = profile_methods(told(silent))
    assert "Lorentzian" not in text
    assert "echo" not in text
    assert all(words.split()[0] in text for words in references)
    text, _ = profile_methods(told(trains))
    assert "0.10 to 0.40 s after each end" in text
    assert "band-passed" not in text


def test_controls_beside_the_sweep_are_told(response: Any) -> None:
    data = told(response)
    names = [name for name, _ in beside_rows(data)]
    assert not any("Jittered" in name or "Repeated" in name for name in names)
    row = {**data["curve"][4], "p_corrected": 0.4}
    anchor = {"frequency_hz": 10.0, "level": 2.0, "order": 1, "response_plv2": 0.1}
    data["jitter"] = {"p": 0.4, "regular": [row], "own_pulses": [row]}
    data["anchors"] = [anchor, {**anchor, "order": 9, "response_plv2": 0.06}]
    rows = dict(beside_rows(data))
    assert rows["Repeated, 10 Hz, level 2, in order"] == "0.100, 0.060"
    hz = f"{row['frequency_hz']:g}"
    assert rows[f"Jittered drive, {hz} Hz, to a regular reference"].endswith("p 0.400")
    data["anchors"] = [{**anchor, "frequency_hz": float(i)} for i in range(9)]
    assert dict(beside_rows(data))["Repeated"].startswith("9 frequencies")


def test_later_bins_and_a_recording_after_are_told(response: Any, tmp_path: Path) -> None:
    data = told(response)
    later = {
        "from_s": 60.0, "to_s": 180.0, "n_blocks": 1, "n_segments": 100, "ln_ratio": 0.41,
        "ci95_ln": [0.1, 0.72], "minus_sham": True,
    }  # fmt: skip
    data["after_effect"] = copy.deepcopy(data["after_effect"])
    data["after_effect"][0]["bins"].append(later)
    whole = {"bins": [later | {"minus_sham": False}], "reason": None, "caution": "power rises"}
    page = page_of(tmp_path, response, data | {"after_session": whole})
    assert "1.0 to 3.0 min +0.41 (+0.10 to +0.72), less sham" in page.text
    assert "After the session, 1.0 to 3.0 min +0.41 (+0.10 to +0.72), sham not taken" in page.text
    assert "After the session: power rises." in page.text
    assert len(page.images) == 3


def test_connectivity_stands_among_what_is_exploratory(response: Any) -> None:
    data = told(response)
    assert "none: one channel" in dict(exploratory_rows(data))[CONNECTIVITY]
    one = {**data["exploratory"]["connectivity"], "reason": None, "against": "sham"}
    one |= {"change": 0.12, "p": 0.031, "n_pairs": 3}
    data["exploratory"] = {**data["exploratory"], "connectivity": one}
    assert plain(dict(exploratory_rows(data))[CONNECTIVITY]) == (
        "+0.120, less sham, p 0.031 (3 pair(s)); a stronger rhythm alone raises it"
    )
    assert "Vinck 2011" in profile_methods(data)[0]


def test_a_reference_stands_beside_the_person(response: Any, tmp_path: Path) -> None:
    data = told(response)
    rng = np.random.default_rng(1)
    people = []
    for i in range(24):
        one = copy.deepcopy(data)
        (curve,) = one["resonance"]
        curve["centre_hz"] += 0.5 * rng.standard_normal()
        curve["half_width_hz"] *= float(np.exp(0.3 * rng.standard_normal()))
        curve["height_plv2"] *= 40.0 * float(np.exp(0.2 * rng.standard_normal()))
        people.append(one | {"subject": f"p{i}", "recording_sha256": f"{i:064x}", "file": f"{i}"})
    data["norm"] = hold_against({**make_norm(people), "file": "NORM.json"}, data)
    page = page_of(tmp_path, response, data)
    assert "Against the site's reference of 24 people" in page.text
    assert "deviates from the reference (below)" in page.text
    assert "A deviation is no finding about health." in page.text
    assert "Crawford JR, Howell DC" in page.text


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((9.0, 10.0), "9.00 to 10.00 Hz"),
        ((None, 10.0), "up to 10.00 Hz, open below"),
        ((9.0, None), "9.00 Hz or more, open above"),
        ((None, None), "open at both ends"),
        (None, "open at both ends"),
    ],
)
def test_open_intervals_are_told_as_open(ends: Any, words: str) -> None:
    assert plain(open_interval(ends, 2, "Hz")) == words


def test_hostile_names_are_shown_and_do_not_run(silent: Any, tmp_path: Path) -> None:
    data = told(
        silent, subject=CANARY, recording=CANARY, blocks=CANARY, warnings=[CANARY], sham=CANARY
    )
    page = page_of(tmp_path, silent, data)
    assert "script" not in page.tags
    assert page.text.count(CANARY) >= 5


def test_another_ending_is_refused(silent: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.html"):
        profile_report(silent, told(silent), tmp_path / "page.pdf")
    assert not list(tmp_path.iterdir())


def test_designs_that_differ_are_told_apart(response: Any, silent: Any, trains: Any) -> None:
    one = response.to_dict()
    assert difference_of(one, one) is None
    assert difference_of(one, replace(silent, mode="photic").to_dict()) is None
    assert "mode" in str(difference_of(one, silent.to_dict()))
    for change, word in (
        ({"levels": [1.0]}, "levels"),
        ({"seconds_per_block": 120.0}, "blocks of"),
        ({"n_frequencies": 8}, "frequencies"),
        ({"spacing_hz": [0.5] * 8}, "steps"),
        ({"reads_per_frequency": 2.0}, "reads"),
        ({"n_sham": 0}, "sham"),
        ({"band_width_hz": 4.0}, "bands"),
    ):
        other = {**one, "design": {**one["design"], **change}}
        assert word in str(difference_of(one, other))
    assert "channels" in str(difference_of(one, {**one, "channels": ["O1"]}))
