"""The phase benchmark on one small cell: what it counts, and that its figures are sane."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("benchmarks.phase", reason="benchmarks are not here")

from benchmarks import phase
from benchmarks.phase_made import band_power, make, noise
from benchmarks.phase_peers import our_etp, our_phastimate


def test_a_run_has_every_part_and_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phase, "REST_S", 130.0)
    monkeypatch.setattr(phase, "TRIALS", 30)
    monkeypatch.setattr(phase, "SINES_HZ", (10.3,))
    monkeypatch.setattr(phase, "CPU_UPDATES", 20)
    ours = {"phastimate (replication)": our_phastimate, "ETP (replication)": our_etp}
    monkeypatch.setattr(phase, "installed", lambda: ours)
    file = tmp_path / "phase.json"
    words = ["--cells", "drift15@500", "--first", "77", "--json", str(file)]
    result = phase.main(words)
    assert json.loads(file.read_text(encoding="utf-8")) == json.loads(json.dumps(result))
    (cell,) = result["cells"].values()
    methods = cell["methods"]
    assert set(methods) == {"engine", "kalman", "wiener", "untrained", "(acausal)", *ours}
    sd = {name: row["0 ms"]["sd_deg"] for name, row in methods.items()}
    assert sd["(acausal)"] < sd["engine"] < 20.0
    assert sd["engine"] in (sd["kalman"], sd["wiener"])
    assert methods["engine"]["80 ms"]["sd_deg"] > sd["engine"]
    assert cell["trials"] == 30
    assert result["alone"]["drift 15 dB"]["0 ms"]["trials"] == 120
    assert 0.8 < result["alone"]["drift 15 dB"]["0 ms"]["coverage"] <= 1.0
    assert max(result["sines"]["engine"].values()) < 1.0
    assert "CPU of an update" in capsys.readouterr().out


def test_goals_are_met_or_short() -> None:
    methods = {
        "engine": {
            "0 ms": {"sd_deg": 30.0, "bias_deg": -4.5},
            "80 ms": {"sd_deg": 39.0, "bias_deg": 0.0},
        },
        phase.ECHT: {
            "0 ms": {"sd_deg": 31.0, "bias_deg": 0.0},
            "80 ms": {"sd_deg": 38.0, "bias_deg": 0.0},
        },
    }
    told = phase.checks("drift", 5, {"methods": methods, "coverage": {"0 ms": 0.95}})
    assert [met for _, met in told] == [True, False, True, False, True, False]


@pytest.mark.parametrize("kind", ["drift", "bursty"])
def test_the_made_signal_has_the_snr_it_says(kind: str) -> None:
    made = make(kind, 5.0, 500.0, 100.0, 3)
    rhythm = made.amplitude_uv * np.cos(made.phase_rad)
    ratio = band_power(rhythm, 500.0) / band_power(made.signal_uv - rhythm, 500.0)
    assert 10.0 * np.log10(ratio) == pytest.approx(5.0, abs=1e-6)
    assert np.std(rhythm) == pytest.approx(10.0)
    assert np.array_equal(made.signal_uv, make(kind, 5.0, 500.0, 100.0, 3).signal_uv)
    assert not np.array_equal(made.signal_uv, make(kind, 5.0, 500.0, 100.0, 4).signal_uv)


def test_the_noise_falls_as_one_over_f_to_its_floor() -> None:
    drawn = noise(200_000, 500.0, np.random.default_rng(1))
    spectrum = np.abs(np.fft.rfft(drawn)) ** 2
    frequency_hz = np.fft.rfftfreq(drawn.size, 1.0 / 500.0)
    near = {f: spectrum[np.abs(frequency_hz - f) < 0.3].mean() for f in (1.0, 3.0, 200.0)}
    assert near[1.0] / near[3.0] == pytest.approx((1 + 1 / 30) / (1 / 3 + 1 / 30), rel=0.15)
    assert near[1.0] / near[200.0] == pytest.approx((1 + 1 / 30) / (1 / 200 + 1 / 30), rel=0.2)


@pytest.mark.parametrize("words", [["--seeds", "0"], ["--cells", "drift3@500"]])
def test_words_without_sense(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        phase.main(words)
