"""The phase engine: clean sines, known truth, streaming, refusals, gates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from analysis.errors import AnalysisError, UnusableRecording
from analysis.phase import Gates, PhaseEngine, PhaseEstimate, fit, untrained
from analysis.phase_choice import circular_sd
from analysis.phase_whittle import fit_rhythm
from tests.data import recording

Array = NDArray[np.float64]
RATE = 250.0


@dataclass(frozen=True)
class Wave:
    """A rhythm at 10 Hz that wanders, on 1/f noise, and its phase."""

    signal_uv: Array
    phase_rad: Array


def _noise(n: int, rng: np.random.Generator) -> Array:
    power = 1.0 / np.maximum(np.fft.rfftfreq(n, 1.0 / RATE), 0.1) + 0.02
    drawn = rng.standard_normal((2, power.size))
    made = np.fft.irfft((drawn[0] + 1j * drawn[1]) * np.sqrt(power), n)
    return np.asarray(made / made.std())


def wandering(seed: int, duration_s: float = 240.0, noise_uv: float = 7.0) -> Wave:
    rng = np.random.default_rng(seed)
    n = round(duration_s * RATE)
    keep = math.exp(-1.0 / (3.0 * RATE))
    drift = lfilter([0.3 * math.sqrt(1.0 - keep**2)], [1.0, -keep], rng.standard_normal(n))
    phase = 2.0 * np.pi * np.cumsum(10.0 + drift) / RATE
    signal = 10.0 * np.cos(phase) + noise_uv * _noise(n, rng)
    return Wave(signal, np.angle(np.exp(1j * phase)))


@pytest.fixture(scope="module")
def wave() -> Wave:
    return wandering(1)


REST = slice(0, round(130 * RATE))


@pytest.fixture(scope="module")
def trained(wave: Wave) -> dict[str, PhaseEngine]:
    rest = wave.signal_uv[REST]
    return {name: fit(rest, RATE, method=name) for name in ("kalman", "wiener", "auto")} | {
        "untrained": untrained(10.0, RATE)
    }


def stream(engine: PhaseEngine, samples: Array, block: int) -> list[PhaseEstimate]:
    engine.reset()
    return [engine.update(samples[i : i + block]) for i in range(0, samples.size, block)]


@pytest.mark.parametrize("frequency_hz", [4.0, 7.3, 10.3, 18.0, 40.0])
@pytest.mark.parametrize("method", ["kalman", "wiener", "untrained"])
def test_a_clean_sine_is_met_within_a_degree_ahead_too(method: str, frequency_hz: float) -> None:
    time_s = np.arange(round(140 * RATE)) / RATE
    wave_uv = 12.0 * np.cos(2.0 * np.pi * frequency_hz * time_s + 0.4)
    engine: PhaseEngine
    if method == "untrained":
        engine = untrained(frequency_hz, RATE, horizon_s=0.02)
    else:
        band_hz = (0.7 * frequency_hz, 1.2 * frequency_hz)
        any_method: Any = method
        engine = fit(wave_uv, RATE, band_hz=band_hz, method=any_method, horizon_s=0.02)
    told = stream(engine, wave_uv[: round(20 * RATE)], 10)[-100:]
    ends_s = (np.arange(10, 20 * RATE + 1, 10)[-100:] - 1) / RATE
    truth = 2.0 * np.pi * frequency_hz * (ends_s + 0.02) + 0.4
    error = np.angle(np.exp(1j * (np.array([e.phase_rad for e in told]) - truth)))
    assert np.degrees(np.max(np.abs(error))) < 1.0
    assert all(e.valid for e in told)
    assert told[-1].frequency_hz == pytest.approx(frequency_hz, abs=0.02)
    assert told[-1].amplitude_uv == pytest.approx(12.0, rel=0.02)


def test_a_wandering_rhythm_is_followed_and_the_widths_hold(wave: Wave) -> None:
    errors, inside = [], []
    for seed in (2, 3, 4):
        made = wandering(seed)
        engine = fit(made.signal_uv[REST], RATE, horizon_s=0.02)
        start, block = REST.stop, 25
        told = [
            engine.update(made.signal_uv[i : i + block])
            for i in range(start, made.signal_uv.size - block - 5, block)
        ]
        ends = np.arange(start, made.signal_uv.size - block - 5, block) + block - 1 + 5
        for estimate, truth in zip(told, made.phase_rad[ends], strict=True):
            if estimate.valid:
                off = math.remainder(estimate.phase_rad - truth, 2.0 * math.pi)
                errors.append(off)
                inside.append(2.0 * abs(off) <= estimate.credible_width_rad)
    assert len(errors) > 3000
    assert math.degrees(circular_sd(np.array(errors))) < 28.0
    assert abs(math.degrees(float(np.mean(errors)))) < 5.0
    assert 0.92 < np.mean(inside) < 0.98


def test_the_trained_filters_beat_the_untrained_one(
    wave: Wave, trained: dict[str, PhaseEngine]
) -> None:
    later = slice(REST.stop, None)
    found = {
        name: circular_sd(
            np.angle(engine.filter.run(wave.signal_uv)[later] * np.exp(-1j * wave.phase_rad[later]))
        )
        for name, engine in trained.items()
    }
    assert found["kalman"] < found["untrained"]
    assert found["wiener"] < found["untrained"]


@pytest.mark.parametrize("name", ["kalman", "wiener", "untrained"])
def test_blocks_of_any_size_give_the_same(
    name: str, wave: Wave, trained: dict[str, PhaseEngine]
) -> None:
    samples = wave.signal_uv[: 12 * 250].copy()
    if name != "untrained":
        samples[900:930] += 400.0  # an artefact is no exception
    single = stream(trained[name], samples, 1)
    assert name == "untrained" or single[930].reason.startswith("an artefact")
    for block in (7, 50, 1000):
        told = stream(trained[name], samples, block)
        same = single[block - 1 :: block]
        for one, other in zip(told, same, strict=False):
            assert one.reason == other.reason
            assert one.phase_rad == pytest.approx(other.phase_rad, abs=1e-12, nan_ok=True)
            assert one.amplitude_uv == pytest.approx(other.amplitude_uv, rel=1e-12, nan_ok=True)
            assert one.frequency_hz == pytest.approx(other.frequency_hz, rel=1e-12)


@pytest.mark.parametrize("name", ["kalman", "wiener", "untrained"])
def test_the_stream_says_what_the_whole_run_says(
    name: str, wave: Wave, trained: dict[str, PhaseEngine]
) -> None:
    samples = wave.signal_uv[: 8 * 250]
    whole = trained[name].filter.run(samples - samples[0])
    told = stream(trained[name], samples, 10)
    assert [e.phase_rad for e in told][30:] == pytest.approx(np.angle(whole[9::10])[30:], abs=1e-9)


def test_nothing_later_is_looked_at(wave: Wave, trained: dict[str, PhaseEngine]) -> None:
    samples = wave.signal_uv[: 8 * 250].copy()
    changed = samples.copy()
    changed[1500:] += 300.0
    for engine in trained.values():
        told = [repr(stream(engine, given, 50)[:30]) for given in (samples, changed)]
        assert told[0] == told[1]


def test_the_same_rest_gives_the_same_engine(wave: Wave) -> None:
    first, second = (fit(wave.signal_uv[REST], RATE) for _ in range(2))
    assert first.choice == second.choice
    piece = wave.signal_uv[REST.stop :][:1000]
    assert stream(first, piece, 10) == stream(second, piece, 10)


def test_the_choice_is_told(wave: Wave, trained: dict[str, PhaseEngine]) -> None:
    choice = trained["auto"].choice
    assert choice is not None
    assert set(choice.circular_sd_rad) == {"kalman", "wiener"}
    assert choice.method == min(choice.circular_sd_rad, key=choice.circular_sd_rad.__getitem__)
    assert choice.why.startswith(choice.method)
    assert choice.model.frequency_hz == pytest.approx(10.0, abs=0.2)
    short = fit(wave.signal_uv[: round(70 * RATE)], RATE).choice
    assert short is not None
    assert short.method == "kalman"
    assert "120 s" in short.why


def test_an_offset_of_the_amplifier_changes_nothing(
    wave: Wave, trained: dict[str, PhaseEngine]
) -> None:
    samples = wave.signal_uv[: 8 * 250]
    for engine in trained.values():
        plain = stream(engine, samples, 10)[-1]
        lifted = stream(engine, samples + 20_000.0, 10)[-1]
        assert lifted.phase_rad == pytest.approx(plain.phase_rad, abs=1e-6)


def test_a_spatial_filter_is_taken(wave: Wave) -> None:
    rng = np.random.default_rng(5)
    common = 30.0 * rng.standard_normal(wave.signal_uv.size)
    pair = np.stack([wave.signal_uv + common, common])
    mixed = fit(pair[:, REST], RATE, weights=(1.0, -1.0))
    alone = fit(wave.signal_uv[REST], RATE)
    later = slice(REST.stop, REST.stop + 1000)
    told = mixed.update(pair[:, later])
    assert told.phase_rad == pytest.approx(alone.update(wave.signal_uv[later]).phase_rad, abs=1e-6)
    with pytest.raises(AnalysisError, match="2 weights"):
        mixed.update(wave.signal_uv[later])
    with pytest.raises(AnalysisError, match="one finite number"):
        fit(pair[:, REST], RATE, weights=(0.0, 0.0))
    with pytest.raises(AnalysisError, match="weights for several"):
        fit(pair[:, REST], RATE)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rest: rest[: round(59 * RATE)], "record at least 60 s"),
        (lambda rest: np.where(np.arange(rest.size) == 99, np.nan, rest), "no numbers"),
        (lambda rest: np.zeros(rest.size), "flat"),
        (lambda rest: _noise(rest.size, np.random.default_rng(1)), "no rhythm"),
    ],
)
def test_rest_that_cannot_be_learned_from_is_refused(
    change: Callable[[Array], Array], words: str, wave: Wave
) -> None:
    with pytest.raises(UnusableRecording, match=words):
        fit(change(wave.signal_uv[REST]), RATE)


def test_noise_without_a_rhythm_is_refused_again_and_again() -> None:
    for seed in range(20):
        with pytest.raises(UnusableRecording, match="no rhythm"):
            fit_rhythm(_noise(round(90 * RATE), np.random.default_rng(100 + seed)), RATE, (7, 13))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"horizon_s": -0.1}, "horizon_s"),
        ({"horizon_s": math.nan}, "horizon_s"),
        ({"band_hz": (13.0, 7.0)}, "band_hz"),
        ({"method": "magic"}, "method 'magic'"),
    ],
)
def test_arguments_without_sense_are_refused(
    options: dict[str, Any], words: str, wave: Wave
) -> None:
    with pytest.raises(AnalysisError, match=words):
        fit(wave.signal_uv[REST], RATE, **options)


def test_the_fit_finds_what_was_planted() -> None:
    rng = np.random.default_rng(8)
    n = round(300 * RATE)
    decay, turn = 2.0 * np.pi * 0.4, 2.0 * np.pi * 11.0
    pole = np.exp((-decay + 1j * turn) / RATE)
    drive = rng.standard_normal(n) + 1j * rng.standard_normal(n)
    rhythm = lfilter([math.sqrt(1.0 - abs(pole) ** 2)], [1.0, -pole], drive).real * 8.0
    model = fit_rhythm(rhythm + 3.0 * rng.standard_normal(n), RATE, (7.0, 14.0))
    assert model.frequency_hz == pytest.approx(11.0, abs=0.1)
    assert model.half_width_hz == pytest.approx(0.4, rel=0.2)
    assert model.order == 1
    assert model.variance_uv2 == pytest.approx(64.0, rel=0.15)
    assert model.floor_uv2_per_hz == pytest.approx(9.0 / (RATE / 2.0), rel=0.15)


@dataclass(frozen=True)
class Block:
    signal_uv: Array
    missing: int = 0
    restarted: bool = False


def test_gaps_make_it_wait_with_a_reason(wave: Wave, trained: dict[str, PhaseEngine]) -> None:
    for name in ("kalman", "wiener"):
        engine = trained[name]
        settle = engine.filter.settle_samples
        samples = wave.signal_uv[: 4 * settle + 1000][None]
        engine.reset()
        assert engine.update(Block(samples[:, :0])).reason == "begun anew"
        assert engine.update(Block(samples[:, : settle - 1])).reason.startswith(
            "begun anew: 0.00 s"
        )
        assert engine.update(Block(samples[:, settle - 1 : settle + 500])).valid
        gap = engine.update(Block(samples[:, settle + 550 : settle + 560], missing=50))
        assert not gap.valid
        assert gap.reason.startswith("50 samples are missing: ")
        assert engine.update(Block(samples[:, settle + 560 : 2 * settle + 560])).valid
        again = engine.update(Block(samples[:, :10], restarted=True))
        assert again.reason.startswith("the source began anew: ")
        engine.reset()
        engine.update(samples[0, : settle + 100])
        broken = samples[0, :50].copy()
        broken[20] = np.nan
        assert engine.update(broken).reason.startswith("a sample is not a number: ")
        assert math.isnan(engine.update(np.array([np.nan])).phase_rad)
        assert engine.update(samples[0, : settle + 100]).valid


def test_an_unused_channel_may_be_missing(wave: Wave) -> None:
    pair = np.stack([wave.signal_uv, np.full(wave.signal_uv.size, np.nan)])
    engine = untrained(10.0, RATE, weights=(1.0, 0.0))
    assert engine.update(pair[:, :1000]).valid


def test_an_artefact_is_told_until_it_has_passed(
    wave: Wave, trained: dict[str, PhaseEngine]
) -> None:
    engine = trained["kalman"]
    engine.reset()
    settle = engine.filter.settle_samples
    assert engine.update(wave.signal_uv[: settle + 500]).valid
    spike = wave.signal_uv[settle + 500 : settle + 510].copy()
    spike[3] += 500.0
    told = engine.update(spike)
    assert not told.valid
    assert told.reason.startswith("an artefact")
    following = wave.signal_uv[settle + 510 :]
    assert not engine.update(following[: settle - 20]).valid
    assert engine.update(following[settle - 20 : settle + 20]).valid


def test_rest_itself_is_no_artefact(wave: Wave, trained: dict[str, PhaseEngine]) -> None:
    told = stream(trained["wiener"], wave.signal_uv[REST], 10)
    assert all(e.valid for e in told[-1000:])


def test_a_flat_channel_is_told(wave: Wave, trained: dict[str, PhaseEngine]) -> None:
    engine = trained["wiener"]
    for block in (1, 10, 100):
        engine.reset()
        engine.update(wave.signal_uv[:1000])
        flat = np.full(100, wave.signal_uv[999])
        for i in range(0, 100, block):
            told = engine.update(flat[i : i + block])
        assert told.reason == "the channel is flat"
        assert engine.update(wave.signal_uv[1000:1020]).reason != "the channel is flat"


def test_amplitude_and_width_gates(wave: Wave) -> None:
    rest = wave.signal_uv[REST]
    piece = wave.signal_uv[REST.stop :]
    free = fit(rest, RATE)
    valid = [e for e in stream(free, piece, 10) if e.valid]
    least_uv = float(np.quantile([e.amplitude_uv for e in valid], 0.2))
    most_rad = float(np.median([e.credible_width_rad for e in valid]))
    gated = fit(rest, RATE, gates=Gates(min_amplitude_uv=least_uv, max_width_rad=most_rad))
    kinds = set()
    for one, other in zip(stream(gated, piece, 10), stream(free, piece, 10), strict=True):
        if not other.valid:
            continue
        weak, wide = other.amplitude_uv < least_uv, other.credible_width_rad > most_rad
        assert one.valid == (not weak and not wide)
        if not one.valid:
            kinds.add(one.reason.split()[0])
    assert kinds >= {"amplitude", "credible"}
    with pytest.raises(AnalysisError, match="needs rest"):
        untrained(10.0, RATE, gates=Gates(max_width_rad=1.0))
    assert math.isnan(untrained(10.0, RATE).update(piece).credible_width_rad)


def test_a_hump_without_a_phase_is_refused() -> None:
    rng = np.random.default_rng(4)
    n = round(120 * RATE)
    pole = np.exp((-2.0 * np.pi * 3.0 + 2j * np.pi * 10.0) / RATE)
    drive = rng.standard_normal(n) + 1j * rng.standard_normal(n)
    hump = lfilter([math.sqrt(1.0 - abs(pole) ** 2)], [1.0, -pole], drive).real
    with pytest.raises(UnusableRecording, match="4 Hz wide or more"):
        fit(20.0 * hump + 3.0 * _noise(n, rng), RATE)


def test_a_line_of_the_mains_leads_to_the_filter_that_nulls_it(wave: Wave) -> None:
    time_s = np.arange(wave.signal_uv.size) / RATE
    lined = wave.signal_uv + 100.0 * np.cos(2.0 * np.pi * 50.02 * time_s)
    engine = fit(lined[REST], RATE)
    assert engine.choice is not None
    assert engine.choice.method == "wiener"
    later = slice(REST.stop, None)
    found = [
        circular_sd(np.angle(one.filter.run(signal)[later] * np.exp(-1j * wave.phase_rad[later])))
        for one, signal in (
            (engine, lined),
            (fit(wave.signal_uv[REST], RATE, method="wiener"), wave.signal_uv),
        )
    ]
    assert found[0] == pytest.approx(found[1], rel=0.05)


@pytest.mark.parametrize("channel", ["Oz..", "O1.."])
def test_a_real_persons_eyes(channel: str) -> None:
    import mne

    rest = {}
    for name in ("S001R01", "S001R02"):
        raw = mne.io.read_raw_edf(recording(f"eegmmidb_s001/{name}.edf"), verbose="ERROR")
        rest[name] = raw.get_data(picks=[channel])[0] * 1e6
    with pytest.raises(UnusableRecording, match="no rhythm"):
        fit(rest["S001R01"], 160.0)
    engine = fit(rest["S001R02"], 160.0)
    assert engine.choice is not None
    assert 9.0 < engine.choice.model.frequency_hz < 11.0
    told = stream(engine, rest["S001R02"], 8)
    assert np.mean([e.valid for e in told]) > 0.9
    assert np.median([e.credible_width_rad for e in told]) < 2.0
