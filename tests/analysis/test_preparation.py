"""Preparation of a pair: artefacts leave both recordings alike, and make no change of their own."""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any

import mne
import numpy as np
import pytest
from numpy.typing import NDArray

from analysis import ica as ica_module
from analysis.errors import AnalysisError
from analysis.outcome import compare
from analysis.pairing import Pair, make_pair
from analysis.power import measure
from analysis.preparation import handle_artefacts
from tests.analysis.made_artefacts import ALL, BLINKS, NONE, Artefacts, made_pair_on_head
from tests.analysis.made_head import S19

Array = NDArray[np.float64]

S16 = tuple(name for name in S19 if name not in ("F4", "Fz", "C3"))
POSTERIOR = ("P3", "Pz", "P4", "O1", "O2")
TRUTH_WITHIN = 0.05
SECONDS = 33.0

for _package in ("autoreject", "picard", "mne_icalabel", "onnxruntime"):
    pytest.importorskip(_package)


def ln_ratio(pair: Pair, names: tuple[str, ...] = POSTERIOR) -> float:
    """Log ratio of 8-12 Hz power, mean over channels."""
    rows = [pair.channels.index(name) for name in names]
    power = [
        measure(data, pair.sfreq_hz, rows, (8.0, 12.0), bad=bad).band[:, rows].mean()
        for data, bad in ((pair.before_uv, pair.bad_before), (pair.after_uv, pair.bad_after))
    ]
    return float(np.log(power[1] / power[0]))


@cache
def prepared(
    seed: int, ratio: float, before: Artefacts, after: Artefacts, method: Any
) -> tuple[float, Pair]:
    """The change without artefacts, and the pair once prepared with them."""
    spoilt, clear = made_pair_on_head(
        seed, names=S16, duration_s=SECONDS, alpha_ratio=ratio, before=before, after=after
    )
    for raw in clear:
        raw.set_eeg_reference("average", verbose="ERROR")
    truth = make_pair(*clear)
    return ln_ratio(truth), make_pair(*spoilt, artefacts=method)


@pytest.mark.parametrize(
    ("ratio", "before", "after"),
    [(1.0, NONE, BLINKS), (1.0, BLINKS, NONE), (1.5, NONE, ALL), (1.5, ALL, NONE)],
    ids=["none, blinks after", "none, blinks before", "rise, all after", "rise, all before"],
)
def test_components_leave_and_the_change_stays(
    ratio: float, before: Artefacts, after: Artefacts
) -> None:
    errors = []
    for seed in range(2):
        truth, pair = prepared(seed, ratio, before, after, "ica")
        errors.append(ln_ratio(pair) - truth)
        found = pair.handling.ica
        assert found is not None
        removed = [found.components[number].label for number in found.removed]
        assert "eye" in removed
        assert not {"brain", "other"} & set(removed)
        assert len(removed) <= 5
        assert max(found.rhythm_removed) < 0.1
    assert abs(float(np.mean(errors))) < TRUTH_WITHIN
    assert max(map(abs, errors)) < TRUTH_WITHIN


def test_blinks_are_gone_from_the_forehead() -> None:
    spoilt, clear = made_pair_on_head(0, names=S16, duration_s=SECONDS, after=BLINKS)
    _, pair = prepared(0, 1.0, NONE, BLINKS, "ica")
    row = pair.channels.index("Fp1")
    truth = clear[1].set_eeg_reference("average", verbose="ERROR").get_data(picks=["Fp1"])[0]
    truth = 1e6 * truth[3 * 128 :]
    with_blinks = spoilt[1].set_eeg_reference("average", verbose="ERROR").get_data(picks=["Fp1"])[0]
    left = pair.after_uv[row] - truth
    assert np.abs(1e6 * with_blinks[3 * 128 :] - truth).max() > 90.0
    assert left.std() < 0.2 * (1e6 * with_blinks[3 * 128 :] - truth).std()


def test_one_filter_for_both_and_nothing_is_random() -> None:
    _, pair = prepared(0, 1.0, NONE, BLINKS, "ica")
    spoilt, _ = made_pair_on_head(0, names=S16, duration_s=SECONDS, after=BLINKS)
    found = pair.handling.ica
    assert found is not None
    first = 3 * 128
    for raw, data in zip(spoilt, (pair.before_uv, pair.after_uv), strict=True):
        own = 1e6 * raw.get_data(picks=list(pair.channels))[:, first:]
        assert np.allclose(found.spatial_filter @ own, data, atol=1e-6)
        assert np.allclose(data.mean(axis=0), 0.0, atol=1e-6)
    assert np.linalg.matrix_rank(found.spatial_filter) == found.rank == pair.rank
    again = make_pair(*spoilt, artefacts="ica")
    assert np.array_equal(again.before_uv, pair.before_uv)
    assert np.array_equal(again.after_uv, pair.after_uv)
    assert again.to_dict() == pair.to_dict()


def test_what_was_done_is_declared() -> None:
    _, pair = prepared(0, 1.0, NONE, BLINKS, "ica")
    told = json.loads(json.dumps(pair.to_dict(), allow_nan=False))
    assert told["reference"] == "average"
    handled = told["artefacts"]
    assert handled["method"] == "ica"
    assert handled["autoreject"] is None
    ica = handled["ica"]
    assert ica["n_components"] == 15
    assert told["rank"] == ica["rank"] == 15 - len(ica["removed"])
    assert set(ica["versions"]) == {"mne", "python-picard", "mne-icalabel", "onnxruntime"}
    (eye,) = (one for one in ica["removed"] if one["label"] == "eye")
    assert eye["probability"] == eye["probabilities"]["eye"] >= 0.8
    assert {"Fp1", "Fp2"} <= set(eye["strongest_at"])
    assert sum(eye["probabilities"].values()) == pytest.approx(1.0, abs=1e-3)
    assert ica["fit_hz"] == [1.0, pytest.approx(57.6)]
    lines = [text for text in pair.warnings if "ICA" in text or "ICLabel" in text]
    assert lines[0].startswith("ICA of both recordings together: ")
    assert "taken out of both (1 eye" in lines[0]
    assert lines[1].startswith("ICLabel was trained on 1-100 Hz and saw 1-57.6 Hz")


def test_a_component_that_carries_the_rhythm_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alpha mistaken for the heart: ICLabel's word counts, and the loss is told."""

    def mistaken(joined: Any, ica: Any) -> Array:
        mixing, unmixing = ica_module._matrices(ica)
        freqs, psd = ica_module._spectra(unmixing @ joined.get_data(), 128.0)
        inside = (freqs >= 8.0) & (freqs <= 12.0)
        power = (mixing**2).sum(axis=0) * psd[:, inside].sum(axis=1)
        found = np.tile([0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1], (len(power), 1))
        found[np.argmax(power)] = [0.02, 0.0, 0.0, 0.95, 0.0, 0.0, 0.03]
        return found

    monkeypatch.setattr(ica_module, "_classify", mistaken)
    spoilt, _ = made_pair_on_head(1, names=S16, duration_s=SECONDS, alpha_uv=25.0)
    pair = make_pair(*spoilt, artefacts="ica", rhythm_hz=(8.0, 12.0))
    assert pair.handling.ica is not None
    assert min(pair.handling.ica.rhythm_removed) > 0.4
    (text,) = (text for text in pair.warnings if "was taken out although it holds" in text)
    assert "(heart, 95 %" in text
    assert "has a bump" in text


def test_an_artefact_between_brain_and_eye_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsure(joined: Any, ica: Any) -> Array:
        found = np.tile([0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1], (ica.n_components_, 1))
        found[0] = [0.15, 0.0, 0.82, 0.0, 0.0, 0.0, 0.03]
        found[1] = [0.05, 0.0, 0.79, 0.0, 0.0, 0.0, 0.16]
        found[2] = [0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 0.95]
        found[3] = [0.05, 0.81, 0.0, 0.0, 0.0, 0.0, 0.14]
        return found

    monkeypatch.setattr(ica_module, "_classify", unsure)
    spoilt, _ = made_pair_on_head(1, names=S16, duration_s=SECONDS)
    found = make_pair(*spoilt, artefacts="ica").handling.ica
    assert found is not None
    assert found.removed == (3,)


@pytest.mark.parametrize("knocked", [0, 1], ids=["before", "after"])
def test_autoreject_leaves_spans_out_and_makes_no_change(knocked: int) -> None:
    spoilt, clear = made_pair_on_head(2, names=S16, duration_s=63.0)
    rng = np.random.default_rng(5)
    for start in (20, 41):
        wave = 300e-6 * np.hanning(200) * np.sin(np.arange(200) * 2 * np.pi * 3.0 / 128.0)
        gain = rng.uniform(0.2, 1.0, (len(S16), 1)) * rng.choice([-1, 1], (len(S16), 1))
        spoilt[knocked]._data[:, start * 128 : start * 128 + 200] += gain * wave
    pair = make_pair(*spoilt, artefacts="autoreject")
    truth = ln_ratio(make_pair(*clear))
    found = pair.handling.rejection
    assert found is not None
    assert found.spans == (15, 15)
    assert found.rejected[knocked] >= 2
    assert found.rejected[1 - knocked] <= 1
    for start in (20, 41):
        bad = (pair.bad_before, pair.bad_after)[knocked]
        assert bad[(start - 3) * 128 : (start - 3) * 128 + 200].all()
    assert abs(ln_ratio(pair) - truth) < 0.1
    untouched = 1e6 * spoilt[knocked].get_data(picks=list(pair.channels))[:, 3 * 128 :]
    assert np.array_equal((pair.before_uv, pair.after_uv)[knocked], untouched)
    assert pair.to_dict()["artefacts"]["autoreject"]["interpolated_within_spans"] is False
    assert any(text.startswith("autoreject: ") for text in pair.warnings)


def test_the_whole_comparison_with_both() -> None:
    spoilt, _ = made_pair_on_head(
        0, names=S16, duration_s=SECONDS + 12.0, alpha_ratio=3.0, before=BLINKS
    )
    found = compare(*spoilt, peak_hz=10.0, artefacts="both", n_bootstrap=300)
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["preparation"]["artefacts"]["method"] == "both"
    assert told["preparation"]["artefacts"]["ica"]["rhythm_hz"] == [8.0, 12.0]
    assert told["preparation"]["artefacts"]["autoreject"]["spans"] == [10, 10]
    without = told["preparation"]["without_handling"]
    assert without["region_ln_ratio"] == told["power"]["ln_ratio"]
    plain = compare(*spoilt, peak_hz=10.0, n_bootstrap=300)
    assert without["as_recorded"] == pytest.approx(plain.power.raw.ln_ratio, abs=1e-12)
    assert plain.preparation["without_handling"] is None
    averaged = [raw.copy().set_eeg_reference("average", verbose="ERROR") for raw in spoilt]
    again = compare(*averaged, peak_hz=10.0, n_bootstrap=300)
    assert without["average_reference"] == pytest.approx(again.power.raw.ln_ratio, abs=0.02)
    assert told["preparation"]["n_segments"][0] > 10
    assert told["preparation"]["connectivity_epochs"][0] > 10
    assert told["power"]["ln_ratio"] == pytest.approx(np.log(3.0), abs=0.4)
    assert told["direction"] == "increase"


def test_a_change_that_the_handling_made_is_told() -> None:
    """The reference electrode picks up heart and jaw, after alone; alpha did not change."""
    spoilt, _ = made_pair_on_head(1, duration_s=SECONDS + 10.0, after=ALL)
    for raw in spoilt:
        raw.set_eeg_reference(["T7"], verbose="ERROR").drop_channels(["T7"])
    region = ["Fp1", "Fp2", "Fz", "F4", "F8"]
    found = compare(*spoilt, peak_hz=10.0, picks=region, artefacts="ica", n_bootstrap=300)
    without = found.preparation["without_handling"]
    assert without["as_recorded"] > 0.25
    assert abs(without["region_ln_ratio"]) < 0.15
    assert any(
        text.startswith("without handling of artefacts the change would be +")
        and "by the average reference alone" in text
        for text in found.warnings
    )


def test_nothing_is_done_without_being_asked() -> None:
    spoilt, _ = made_pair_on_head(3, names=S16, duration_s=SECONDS, after=BLINKS)
    pair = make_pair(*spoilt)
    told = pair.to_dict()
    assert told["artefacts"]["method"] == "none"
    assert told["artefacts"]["ica"] is told["artefacts"]["autoreject"] is None
    assert told["reference"] == "as recorded"
    own = 1e6 * spoilt[1].get_data(picks=list(pair.channels))[:, 3 * 128 :]
    assert np.array_equal(pair.after_uv, own)


def test_refusals_are_one_line_each() -> None:
    spoilt, _ = made_pair_on_head(4, names=S16, duration_s=SECONDS)
    fewer = [raw.copy().drop_channels(["T7"]) for raw in spoilt]
    with pytest.raises(AnalysisError, match=r"^ICA needs 16 good channels .* there are 15; "):
        make_pair(*fewer, artefacts="ica")
    shorter, _ = made_pair_on_head(4, names=S19, duration_s=31.0)
    with pytest.raises(
        AnalysisError, match=r"^ICA of 19 channels needs 7220 samples .* 28 s before .* 28 s of"
    ):
        make_pair(*shorter, artefacts="ica")
    slow = [raw.copy().resample(90.0, verbose="ERROR") for raw in spoilt]
    with pytest.raises(AnalysisError, match=r"^ICLabel needs 100 samples a second or more, not 90"):
        make_pair(*slow, artefacts="ica")
    names = {"Pz": "E1"}
    nameless = [
        mne.io.RawArray(
            raw.get_data(),
            mne.create_info([names.get(name, name) for name in raw.ch_names], 128.0, "eeg"),
            verbose="ERROR",
        )
        for raw in spoilt
    ]
    with pytest.raises(AnalysisError, match=r"place of every electrode, unknown for E1"):
        make_pair(*nameless, artefacts="ica")
    few = [raw.copy().pick(["Fp1", "O1", "O2"]) for raw in spoilt]
    with pytest.raises(AnalysisError, match=r"^autoreject needs the positions of 8 good"):
        make_pair(*few, artefacts="autoreject")
    with pytest.raises(AnalysisError, match=r"artefacts 'all' is unknown: give none, ica"):
        handle_artefacts(
            spoilt[0],
            spoilt[1],
            S16,
            "all",
            windows_s=((0.0, 30.0), (0.0, 30.0)),  # type: ignore[arg-type]
        )


def test_a_decomposition_that_does_not_settle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ica_module, "MOST_STEPS", 3)
    spoilt, _ = made_pair_on_head(4, names=S16, duration_s=SECONDS)
    with pytest.raises(AnalysisError, match=r"^ICA does not settle within 3 steps"):
        make_pair(*spoilt, artefacts="ica")


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("picard", "python-picard"),
        ("mne_icalabel", "mne-icalabel"),
        ("onnxruntime", "onnxruntime"),
        ("autoreject", "autoreject"),
    ],
)
def test_a_missing_package_is_named(
    module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    spoilt, _ = made_pair_on_head(4, names=S16, duration_s=SECONDS)
    method: Any = "autoreject" if module == "autoreject" else "ica"
    with pytest.raises(
        AnalysisError, match=rf"needs {package},.*pip install 'tacs-suite\[clean\]'"
    ):
        make_pair(*spoilt, artefacts=method)


def test_the_course_over_time_is_handled_like_the_pair() -> None:
    """Blinks after; the same recording once more as a later one lies as high."""
    spoilt, _ = made_pair_on_head(0, names=S16, duration_s=SECONDS, after=BLINKS)
    later = spoilt[1].copy()
    told: dict[str, Any] = {"peak_hz": 3.0, "picks": ["Fp1", "Fp2"], "n_bootstrap": 200}
    told |= {"band_half_width_hz": 1.0, "after_s": 0.0, "later": [(later, 1800.0)]}
    plain = compare(*spoilt, artefacts="none", **told).time_course.bins
    found = compare(*spoilt, artefacts="ica", **told)
    bins = found.time_course.bins
    assert bins[1].ln_ratio == pytest.approx(bins[0].ln_ratio, abs=1e-9)
    assert bins[0].ln_ratio < plain[0].ln_ratio - 0.2
    assert not any("course over time" in text for text in found.warnings)
    later.info["bads"] = ["F7"]
    found = compare(*spoilt, artefacts="ica", **told)
    assert any("F7, on which the removal" in text for text in found.warnings)
    assert found.time_course.bins[0].ln_ratio == pytest.approx(plain[0].ln_ratio)
