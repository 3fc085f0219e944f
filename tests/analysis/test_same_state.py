"""Checks that two recordings were made alike: each outcome declared, the incomparable refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import mne
import numpy as np
import pytest

from analysis.errors import UnusableRecording
from analysis.eyes import Blinks, _binomial_p, count_blinks, differ, said_state
from analysis.io import Recording, load_recording
from analysis.pairing import Pair, make_pair
from tests.analysis.made_artefacts import ALL, BLINKS, NONE, Artefacts, made_pair_on_head
from tests.analysis.made_head import S19, made_head, raw_of
from tests.analysis.made_outcome import made_pair
from tests.data import recording

CHECKS = [
    *("reference", "filter", "sampling_rate", "channels", "amplitude", "rank", "eyes", "muscle"),
    *("drowsiness", "length"),
]


def check(pair: Pair, name: str) -> dict[str, Any]:
    """One check of a pair as the JSON has it."""
    told = json.loads(json.dumps(pair.to_dict()["same_state"], allow_nan=False))
    assert [one["check"] for one in told] == CHECKS
    return next(one for one in told if one["check"] == name)


def test_two_alike_pass_every_check() -> None:
    pair = make_pair(*made_pair_on_head(1, duration_s=43.0)[1])
    for name in CHECKS:
        one = check(pair, name)
        if name in ("reference", "eyes"):
            assert one["ok"] is None
            assert one["note"]
        else:
            assert one["ok"] is True
            assert one["note"] == ""
            assert one["before"] == pytest.approx(one["after"], rel=0.2)


@pytest.mark.parametrize("given", ["annotation", "description", "file"])
def test_eyes_as_somebody_says(given: str) -> None:
    raws = made_pair_on_head(1, duration_s=43.0)[1]
    sources: list[Any] = []
    for raw, state in zip(raws, ("open", "closed"), strict=True):
        source: Any = raw
        if given == "annotation":
            raw.set_annotations(mne.Annotations([1.0], [5.0], [f"eyes {state}"]))
        elif given == "description":
            raw.info["description"] = f"rest, eyes_{state}"
        else:
            path = f"sub-1_task-rest{state}_eeg.edf"
            source = Recording(raw, path, "0" * 64, (), None, None, True, False)
        sources.append(source)
    pair = make_pair(*sources)
    assert check(pair, "eyes")["before"] == "open"
    assert check(pair, "eyes")["after"] == "closed"
    assert check(pair, "eyes")["ok"] is False
    assert any("eyes were open before and closed after" in text for text in pair.warnings)
    same = make_pair(sources[0], sources[0])
    assert check(same, "eyes")["ok"] is True


@pytest.mark.parametrize(
    ("stem", "states"),
    [
        ("eeg_eo", ("open",)),
        ("eeg_ec", ("closed",)),
        ("eyes_closed", ("closed",)),
        ("sub-01_task-rest-closed_eeg", ("closed",)),
        ("restingopen", ()),
        ("video_rec", ()),
    ],
)
def test_file_names_that_speak(stem: str, states: tuple[str, ...]) -> None:
    raw = raw_of(made_head(0, S19, duration_s=2.0), S19)
    source = Recording(raw, f"/data/eyes_open/{stem}.edf", "0" * 64, (), None, None, True, False)
    assert said_state(source) == states


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (BLINKS, NONE, "open before and closed after"),
        (NONE, BLINKS, "open after and closed before"),
        (BLINKS, BLINKS, None),
        (NONE, NONE, None),
        (ALL, ALL, None),
    ],
)
def test_eyes_as_blinks_show(before: Artefacts, after: Artefacts, words: str | None) -> None:
    for seed in (1, 2):
        spoilt, _ = made_pair_on_head(
            seed, duration_s=63.0, alpha_ratio=2.0, before=before, after=after
        )
        pair = make_pair(*spoilt)
        one = check(pair, "eyes")
        assert one["ok"] is (None if words is None else False)
        assert (words or "blinks do not tell them apart") in one["note"]
        assert any("blinks a minute" in text for text in pair.warnings) is (words is not None)


def test_blinks_are_counted_and_alpha_is_none() -> None:
    _, clear = made_pair_on_head(3, duration_s=63.0, alpha_uv=40.0)
    spoilt, without = made_pair_on_head(3, duration_s=63.0, after=BLINKS)
    added = (spoilt[1].get_data() - without[1].get_data())[S19.index("Fp1")]
    planted = np.count_nonzero(np.diff((added > 40e-6).astype(int)) == 1)
    assert planted > 10
    keep = np.ones(clear[1].n_times, dtype=bool)
    assert count_blinks(clear[1].get_data(), S19, 128.0, keep) == Blinks(0, 63.0)
    found = count_blinks(spoilt[1].get_data(), S19, 128.0, keep)
    assert found is not None
    assert found.count == pytest.approx(planted, abs=1)
    assert count_blinks(clear[1].get_data()[2:], S19[2:], 128.0, keep) is None
    assert not differ(Blinks(3, 60.0), Blinks(0, 60.0))
    assert not differ(Blinks(20, 60.0), Blinks(9, 60.0))
    assert not differ(Blinks(5, 60.0), Blinks(0, 60.0))
    assert differ(Blinks(0, 60.0), Blinks(9, 60.0))


@pytest.mark.parametrize("share", [0.5, 0.31, 0.9])
@pytest.mark.parametrize(("count", "n"), [(0, 1), (3, 7), (9, 9), (40, 120)])
def test_the_p_of_two_counts_is_the_exact_binomial_one(count: int, n: int, share: float) -> None:
    from scipy.stats import binomtest

    theirs = binomtest(count, n, share).pvalue
    assert _binomial_p(count, n, share) == pytest.approx(theirs, rel=1e-9)


def test_another_unit_is_refused() -> None:
    pre, post = made_pair(5, duration_s=40.0)
    post._data *= 1000.0
    with pytest.raises(UnusableRecording, match=r"amplitudes differ .*-fold .* unit or gain"):
        make_pair(pre, post)


def test_an_unknown_unit_is_told() -> None:
    raws = made_pair_on_head(1, duration_s=43.0)[1]
    known = Recording(raws[0], "a.edf", "0" * 64, (), None, None, True, False)
    one = check(make_pair(known, replace(known, raw=raws[1], unit_known=False)), "amplitude")
    assert one["ok"] is None
    assert "unit" in one["note"]


def test_interpolation_on_one_side_is_seen_in_the_rank() -> None:
    pre, post = made_pair_on_head(2, duration_s=43.0)[1]
    post.info["bads"] = ["Cz"]
    post.interpolate_bads(reset_bads=True, verbose="ERROR")
    pair = make_pair(pre, post)
    assert check(pair, "rank") == {
        "check": "rank",
        "before": 19,
        "after": 18,
        "ok": False,
        "note": next(text for text in pair.warnings if "independent signals" in text),
    }
    assert pair.rank == 18


def test_different_empty_channels_are_different_references() -> None:
    pre, post = made_pair_on_head(2, duration_s=43.0)[1]
    pre.set_eeg_reference(["Cz"], verbose="ERROR")
    assert check(make_pair(pre, post), "reference")["ok"] is False  # the header says it as well
    post.set_eeg_reference(["Fz"], verbose="ERROR")
    pair = make_pair(pre, post)
    one = check(pair, "reference")
    assert (one["before"], one["after"], one["ok"]) == ("Cz", "Fz", False)
    assert any("references probably differ" in text for text in pair.warnings)


def test_muscle_on_one_side_is_told() -> None:
    tense = Artefacts(muscle_uv=40.0)
    spoilt, _ = made_pair_on_head(4, duration_s=63.0, sfreq_hz=200.0, after=tense)
    pair = make_pair(*spoilt)
    one = check(pair, "muscle")
    assert one["ok"] is False
    assert one["after"] > one["before"] + 0.15
    assert any("muscle in 0 % of the time before" in text for text in pair.warnings)


def test_eyes_of_a_real_person() -> None:
    sides = [load_recording(recording(f"eegmmidb_s001/S001R0{n}.edf")) for n in (1, 2)]
    pair = make_pair(*sides)
    one = check(pair, "eyes")
    assert one["ok"] is False
    assert "probably open before and closed after" in one["note"]
