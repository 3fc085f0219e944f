"""Bad channels are filled in for maps alone, and change no number."""

from __future__ import annotations

import json

import mne
import numpy as np
import pytest

from analysis.figures_outcome import plot_topographies
from analysis.interpolate import interpolate_bad
from analysis.outcome import Outcome, compare
from analysis.pairing import make_pair
from tests.analysis.made_artefacts import made_pair_on_head
from tests.analysis.made_head import S19, made_head, raw_of
from tests.analysis.made_outcome import made_pair

RATIO = 2.0


@pytest.fixture(scope="module")
def outcomes() -> tuple[Outcome, Outcome, list[float]]:
    """A comparison with O1 loose after and T8 flat before; one without the two; truth at O1."""
    _, clear = made_pair_on_head(6, duration_s=43.0, alpha_ratio=RATIO)
    bad = [raw.copy() for raw in clear]
    rng = np.random.default_rng(3)
    bad[1]._data[S19.index("O1")] += 400e-6 * rng.normal(size=bad[1].n_times)
    bad[0]._data[S19.index("T8")] = 0.0
    without = [raw.copy().drop_channels(["O1", "T8"]) for raw in clear]
    found, plain = (compare(*pair, peak_hz=10.0, n_bootstrap=300) for pair in (bad, without))
    whole = compare(*clear, peak_hz=10.0, n_bootstrap=300)
    column = list(whole.power.per_channel).index("O1")
    truth = [float(side.band[:, column].mean()) for side in (whole.before, whole.after)]
    return found, plain, truth


def test_a_bad_channel_changes_no_number(outcomes: tuple[Outcome, Outcome, list[float]]) -> None:
    found, plain, _ = outcomes
    ours, theirs = found.power.to_dict(), plain.power.to_dict()
    # The peak search scales by all channels that it is given: equal but for rounding.
    one, other = ours.pop("recentred"), theirs.pop("recentred")
    assert one["ln_ratio"] == pytest.approx(other["ln_ratio"], abs=1e-9)
    assert ours == theirs
    assert found.direction == plain.direction
    assert found.connectivity is not None
    assert plain.connectivity is not None
    assert found.connectivity.to_dict() == plain.connectivity.to_dict()
    assert "O1" not in found.power.region
    assert "O1" not in found.power.per_channel
    assert found.preparation["rank"] == 17


def test_it_is_named_counted_and_near_the_truth_on_the_map(
    outcomes: tuple[Outcome, Outcome, list[float]],
) -> None:
    found, plain, truth = outcomes
    told = json.loads(json.dumps(found.preparation["interpolated"], allow_nan=False))
    assert told["channels"] == ["T8", "O1"]
    assert told["method"] == "spherical splines"
    assert told["not_interpolated"] == []
    assert told["used_for"].startswith("maps alone")
    assert found.filled.channels == ("T8", "O1")
    assert found.filled.before_uv2[1] == pytest.approx(truth[0], rel=0.5)
    ratio = found.filled.after_uv2[1] / found.filled.before_uv2[1]
    assert np.log(ratio) == pytest.approx(np.log(truth[1] / truth[0]), abs=0.15)
    assert any("interpolated for maps alone" in text and "O1" in text for text in found.warnings)
    assert plain.filled.channels == ()


def test_the_map_is_drawn_with_it_and_says_so(
    outcomes: tuple[Outcome, Outcome, list[float]],
) -> None:
    found, plain, _ = outcomes
    title = plot_topographies(found).get_suptitle()
    assert "interpolated: T8, O1" in title
    assert "interpolated" not in plot_topographies(plain).get_suptitle()


def test_the_weights_are_those_of_mne() -> None:
    data = made_head(2, S19, reference=None)
    raw = raw_of(data, S19)
    good = [name for name in S19 if name not in ("Pz", "F4")]
    found = interpolate_bad(raw, good, ("F4", "Pz"))
    raw.info["bads"] = ["F4", "Pz"]
    peer = raw.copy().interpolate_bads(
        origin=(0.0, 0.0, 0.04), method={"eeg": "spline"}, verbose="ERROR"
    )
    ours = found.weights @ raw.get_data(picks=good)
    assert np.allclose(ours, peer.get_data(picks=["F4", "Pz"]), atol=1e-12)
    assert found.weights.sum(axis=1) == pytest.approx([1.0, 1.0], abs=1e-6)


def test_without_places_nothing_is_filled_in_and_the_reason_is_told() -> None:
    pre, post = made_pair(12, duration_s=40.0, channels=("Cz", "P3", "P4", "O1", "O2", "Pz"))
    post.info["bads"] = ["Pz"]
    told = make_pair(pre, post).to_dict()["interpolated"]
    assert told["channels"] == []
    assert told["method"] is None
    assert told["not_interpolated"] == ["Pz"]
    assert "8 good channels with known positions are needed" in told["reason"]
    names = (*S19, "Extra")
    data = np.vstack([made_head(3, S19, reference=None), np.zeros((1, 40 * 128))])
    raw = mne.io.RawArray(data, mne.create_info(list(names), 128.0, "eeg"), verbose="ERROR")
    raw.set_montage("standard_1005", on_missing="ignore", verbose="ERROR")
    found = interpolate_bad(raw, S19[1:], (S19[0], "Extra"))
    assert found.channels == (S19[0],)
    assert found.not_filled == ("Extra",)
    assert found.reason == "their positions are unknown"
    many = interpolate_bad(raw, S19[8:], S19[:8])
    assert many.channels == ()
    assert many.reason == "8 of 19 channels with positions are bad"
