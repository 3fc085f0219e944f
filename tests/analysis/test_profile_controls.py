"""Controls beside a sweep: jittered blocks, anchors, rest before it, state before each block."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import mne
import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.profile import analyze_profile
from analysis.profile_blocks import Block, check_blocks, read_blocks
from analysis.profile_controls import anchors_of
from analysis.profile_curve import Lorentzian, Measured
from analysis.profile_jitter import jitter_onsets_s, jitter_phase, pulse_phasor
from analysis.profile_locking import BlockLocking
from analysis.profile_plan import plan_profile
from analysis.profile_state import state_of

FS = 250.0
PEAK_HZ = 10.0
BLOCK_S, GAP_S = 30.0, 14.0
KINDS = ("drive", "jitter", "drive", "sham", "jitter", "drive", "sham", "jitter", "drive", "drive")


def table() -> list[Block]:
    """Rest with eyes closed, then drives at five frequencies, three jittered blocks, two shams."""
    offsets = iter((-1.0, 0.0, 1.0, 2.0, -2.0))
    rows = [Block(PEAK_HZ, 0.0, "rest", 2.0, 62.0, eyes="closed")]
    for i, kind in enumerate(KINDS):
        hz = PEAK_HZ + next(offsets) if kind == "drive" else PEAK_HZ
        start_s = 62.0 + GAP_S + i * (BLOCK_S + GAP_S)
        jitter = {"jitter_sd": 0.2, "jitter_seed": i + 1} if kind == "jitter" else {}
        rows.append(Block(hz, 1.0, kind, start_s, start_s + BLOCK_S, **jitter))  # type: ignore[arg-type]
    return rows


def noise(seed: int, seconds: float) -> Any:
    """1/f with a line of 1 Hz at 10 Hz, of 10 microvolts."""
    rng = np.random.default_rng(seed)
    n = round(seconds * FS)
    hz = np.fft.rfftfreq(n, 1.0 / FS)
    shape = np.sqrt(np.maximum(hz, 1.0) ** -1.5 + 0.3 / (1.0 + ((hz - PEAK_HZ) / 0.5) ** 2))
    data = np.fft.irfft(np.fft.rfft(rng.standard_normal((2, n)), axis=1) * shape, n, axis=1)
    return 10e-6 * data / data.std()


def recording(
    rows: list[Block], *, regular_uv: float, pulses_uv: float, hum_uv: float = 0.0
) -> Any:
    """A rhythm; drives add a cosine, jittered blocks one that follows their pulses."""
    seconds = rows[-1].stop_s + GAP_S
    data = noise(5, seconds)
    times_s = np.arange(data.shape[1]) / FS
    pulses = pulse_phasor([r for r in rows if r.kind == "jitter"], data.shape[1], FS)
    for row in rows:
        on = (times_s >= row.start_s) & (times_s < row.stop_s)
        turns = np.exp(2j * np.pi * row.frequency_hz * (times_s[on] - row.start_s))
        if row.kind == "drive":
            data[:, on] += 1e-6 * regular_uv * turns.real
        if row.kind == "jitter":
            data[:, on] += 1e-6 * (pulses_uv * pulses[on].real + hum_uv * turns.real)
    return mne.io.RawArray(data, mne.create_info(["Oz", "POz"], FS, "eeg"), verbose="ERROR")


def test_periods_are_irregular_about_the_rate_and_the_same_for_a_seed() -> None:
    onsets = jitter_onsets_s(10.0, 120.0, 0.2, 7)
    periods = np.diff(onsets)
    assert periods.mean() == pytest.approx(0.1, rel=0.02)
    assert periods.std() == pytest.approx(0.02, rel=0.05)
    assert onsets[0] == 0.0
    assert onsets[-2] < 120.0 <= onsets[-1]
    assert jitter_onsets_s(10.0, 120.0, 0.2, 7) == onsets
    assert jitter_onsets_s(10.0, 120.0, 0.2, 8) != onsets
    # Python's own generator, whose stream of random() is promised to stay.
    assert onsets[1] == pytest.approx(0.1 * (1.0 + 0.2 * 12**0.5 * (0.32383276483316237 - 0.5)))
    middle = 0.5 * (onsets[3] + onsets[4])
    assert jitter_phase(np.array([onsets[3], middle]), onsets) == pytest.approx(
        [6.0 * np.pi, 7.0 * np.pi]
    )
    regular = np.exp(-2j * np.pi * 10.0 * np.arange(30_000) / FS)
    block = Block(10.0, 1.0, "jitter", 0.0, 120.0, jitter_sd=0.2, jitter_seed=7)
    assert abs(np.mean(regular * pulse_phasor([block], 30_000, FS))) < 0.1
    for wrong in ((10.0, 120.0, 0.0), (10.0, 120.0, 0.3), (0.0, 120.0, 0.2)):
        with pytest.raises(AnalysisError):
            jitter_onsets_s(*wrong, 1)


def test_answers_to_single_pulses_follow_the_pulses_and_no_regular_reference() -> None:
    rows = table()
    raw = recording(rows, regular_uv=6.0, pulses_uv=6.0)
    profile = analyze_profile(raw, rows, mode="photic", n_permutations=999)
    assert profile.verdict == "response"
    assert profile.jitter is not None
    assert profile.jitter.p > 0.05
    (regular,), (own,) = profile.jitter.regular, profile.jitter.own
    assert regular.n_blocks == own.n_blocks == 3
    assert own.p < 0.01
    assert own.low > 0.02
    assert regular.response < 0.3 * own.response
    # Neither verdict nor curve knows of them.
    without = [row for row in rows if row.kind != "jitter"]
    bare = analyze_profile(raw, without, mode="photic", n_permutations=999)
    assert {row.frequency_hz for row in bare.answers} == {8.0, 9.0, 10.0, 11.0, 12.0}
    for ours, theirs in zip(profile.answers, bare.answers, strict=True):
        assert ours.plv2 == theirs.plv2
        assert ours.n_blocks == theirs.n_blocks == 1
    assert bare.jitter is None
    json.dumps(profile.to_dict(), allow_nan=False)


def test_something_regular_under_the_jitter_is_told() -> None:
    rows = table()
    raw = recording(rows, regular_uv=6.0, pulses_uv=0.0, hum_uv=6.0)
    profile = analyze_profile(raw, rows, mode="photic", n_permutations=999)
    assert profile.jitter is not None
    assert profile.jitter.p < 0.01
    assert any("jittered blocks lock to a regular reference" in t for t in profile.warnings)
    (regular,), (own,) = profile.jitter.regular, profile.jitter.own
    assert own.plv2 < 0.1 * regular.plv2


def test_rest_before_the_sweep_has_its_own_line_and_is_no_block() -> None:
    rows = table()
    raw = recording(rows, regular_uv=6.0, pulses_uv=0.0)
    profile = analyze_profile(raw, rows, mode="photic", n_permutations=200)
    (told,) = profile.to_dict()["baseline"]
    assert told["eyes"] == "closed"
    assert told["seconds"] == 60.0
    assert told["line"]["centre_hz"] == pytest.approx(PEAK_HZ, abs=0.4)
    with pytest.raises(AnalysisError, match="leave rows of kind jitter and rest out"):
        analyze_profile(raw, rows, mode="electrical")


def locked(hz: float, order: int, plv2: float, virtual: Any, start_s: float) -> BlockLocking:
    block = Block(hz, 1.0, "drive", start_s, start_s + 20.0, order)
    return BlockLocking((block,), plv2, 0.01, virtual, 0.0, 19.0)


def test_anchors_tell_what_the_session_did_to_the_response() -> None:
    virtual = np.random.default_rng(1).exponential(0.01, 24)
    found = [
        locked(10.0, 9, 0.05, virtual, 90.0),
        locked(11.0, 5, 0.03, virtual, 50.0),
        locked(10.0, 2, 0.15, virtual, 20.0),
    ]
    first, last = anchors_of(found)
    assert (first["order"], last["order"]) == (2, 9)
    assert first["response_plv2"] > 2.0 * last["response_plv2"]
    low, high = first["response_ci95_plv2"]
    assert low < first["response_plv2"] < high
    assert anchors_of(found[:2]) == []


def states(seed: int, slope: float, n: int = 24) -> Any:
    """Blocks whose response goes with the power before them; sham blocks between."""
    rng = np.random.default_rng(seed)
    rows, sizes = [], rng.normal(0.0, 0.5, 2 * n)
    data = np.zeros((1, round((2 * n + 1) * 34.0 * FS)))
    times_s = np.arange(data.shape[1]) / FS
    base = noise(seed, data.shape[1] / FS)[:1]
    for i in range(2 * n):
        start_s = 14.0 + 34.0 * i
        rows.append(Block(10.0, 1.0, "sham" if i % 2 else "drive", start_s, start_s + 20.0, i + 1))
        before = (times_s >= start_s - 14.0) & (times_s < start_s)
        base[:, before] *= np.exp(0.5 * sizes[i])
    found = []
    for i in range(0, 2 * n, 2):
        virtual = rng.exponential(0.01, 24)
        null = float(virtual.mean())
        plv2 = 0.1 + null + 0.046 * (slope * sizes[i] + rng.standard_normal())
        one = locked(10.0, i + 1, max(plv2, 1e-4), virtual, rows[i].start_s)
        found.append(replace(one, blocks=(rows[i],), null=null))
    hz = np.full(n, 10.0)
    measured = Measured(
        hz, np.ones(n), np.array([f.plv2 for f in found]), np.array([f.null for f in found]),
        np.arange(float(n)), np.ones(n),
    )  # fmt: skip
    curve = Lorentzian(10.0, (9.0, 11.0), 1.0, (0.5, 2.0), 0.1, (0.05, 0.2), 1.0)
    gaps = np.r_[np.full(2 * n - 1, 14.0), 14.0]
    bands = {10.0: (8.0, 12.0)}
    return state_of(base, FS, rows, gaps, found, measured, {1.0: curve}, None, bands, 999)


def test_a_response_that_goes_with_the_state_is_told_and_one_that_does_not_is_not() -> None:
    held = quiet = 0
    for seed in range(6):
        planted = states(seed, 2.0)
        assert planted.n_blocks == 24
        assert planted.p < 0.05
        held += planted.slope_ci95[0] < 2.0 < planted.slope_ci95[1]
        none = states(seed + 50, 0.0)
        quiet += none.p > 0.05
        low, high = none.null_ci95
        assert low < 0.0 < high
        assert none.difference == pytest.approx(none.slope - none.null_slope)
        # The change of power goes with its baseline in both kinds alike: regression to the mean.
        assert none.after is not None
        assert none.after.null_slope < -0.3
        assert none.after_reason == ""
    assert held >= 5
    assert quiet >= 5


def test_a_state_that_cannot_be_asked_about_says_why() -> None:
    found = states(1, 0.0, n=5)
    assert found.slope is None
    assert "5 blocks" in found.reason
    assert "10 of each" in found.after_reason
    assert found.to_dict()["after"] is None


def test_a_plan_for_a_person_has_anchors_jitter_and_rest() -> None:
    for seed in range(20):
        plan = plan_profile("photic", 10.2, seed=seed)
        assert sorted(plan.order_kind) == ["anchor"] * 2 + ["drive"] * 9 + ["jitter"] * 3 + ["sham"]
        first, last = (i for i, kind in enumerate(plan.order_kind) if kind == "anchor")
        assert first < 15 / 3 + 1
        assert last > 2 * 15 / 3 - 2
        assert plan.order_r <= 0.3
        seeds = [s for s, kind in zip(plan.order_jitter_seed, plan.order_kind, strict=True)
                 if kind == "jitter"]  # fmt: skip
        assert len(set(seeds)) == 3
    data = json.loads(json.dumps(plan.to_dict()))
    assert data["rest"] == [
        {"eyes": "open", "seconds": 120.0}, {"eyes": "closed", "seconds": 180.0},
    ]  # fmt: skip
    for row in data["jitter"]:
        assert plan.order_kind[row["position"] - 1] == "jitter"
        assert len(row["onsets_s"]) == pytest.approx(10.2 * 120, rel=0.05)
    assert plan.minutes == pytest.approx(15 * 3 + 5)


def test_a_plan_says_what_order_it_has_and_what_it_cannot_have() -> None:
    bare = plan_profile("photic", 10.0, anchors=0, jittered=0)
    assert any("fewer than two anchors" in text for text in bare.warnings)
    assert any("add jittered flicker" in text for text in bare.warnings)
    assert bare.to_dict()["jitter"] == []
    for options in ({"anchors": 2}, {"jittered": 1}):
        with pytest.raises(AnalysisError, match="anchors or jitter in trains"):
            plan_profile("electrical", 10.0, **options)
    with pytest.raises(AnalysisError, match="anchors 11"):
        plan_profile("photic", 10.0, anchors=11)


def test_a_table_with_jitter_and_rest_is_read(tmp_path: Any) -> None:
    path = tmp_path / "blocks.tsv"
    head = "frequency_hz\tlevel\tkind\tstart_s\tstop_s\tjitter_sd\tjitter_seed\teyes\n"
    path.write_text(
        head + "10\t0\trest\t0\t60\t\t\topen\n10\t1\tjitter\t70\t90\t0.2\t3\t\n"
        "10\t1\tdrive\t100\t120\t\t\t\n",
        encoding="utf-8",
    )
    rest, jitter, drive = check_blocks(read_blocks(path), 130.0)
    assert (rest.kind, rest.eyes) == ("rest", "open")
    assert (jitter.jitter_sd, jitter.jitter_seed, jitter.order) == (0.2, 3, 2)
    assert drive.kind == "drive"
    with pytest.raises(AnalysisError, match="needs jitter_sd"):
        check_blocks([replace(jitter, jitter_sd=0.0), drive], 130.0)
