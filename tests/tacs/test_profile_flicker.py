"""A flicker through ``tacs profile analyze``: what was shown answers, and nothing else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest

pytest.importorskip("benchmarks.real_flicker", reason="benchmarks are not here")

from analysis.profile_blocks import Block
from benchmarks.real_flicker import as_if_driven, as_if_shown, ask, session, write
from benchmarks.real_outcomes import DRIVES_HZ, PEOPLE
from tests.data import recording

FS = 250.0
TRIALS = 32


def flicker() -> tuple[Any, list[Block]]:
    """Trials of 5 s: rest, then 13, 21 and 17 Hz by turns, over 1/f and an alpha of 10 Hz."""
    rng = np.random.default_rng(8)
    n = round((10.0 * TRIALS + 10.0) * FS)
    hz = np.fft.rfftfreq(n, 1.0 / FS)
    alpha = 1.0 / (1.0 + ((hz - 10.0) / 0.5) ** 2)
    shape = np.sqrt(np.maximum(hz, 1.0) ** -1.5 + alpha)
    data = np.fft.irfft(np.fft.rfft(rng.standard_normal((3, n)), axis=1) * shape, n, axis=1)
    data *= 10e-6 / data.std()
    times_s = np.arange(n) / FS
    blocks = []
    for i in range(TRIALS):
        start_s = 4.0 + 10.0 * i
        kind = (0.0, 13.0, 21.0, 17.0)[i % 4]
        on = (times_s >= start_s) & (times_s < start_s + 5.0)
        data[:, on] += 4e-6 * np.cos(2.0 * np.pi * kind * times_s[on] + i) * (kind > 0.0)
        which = "drive" if kind else "sham"
        blocks.append(
            Block(kind or 13.0, 1.0, which, start_s, start_s + 5.0, group=str(i // 16))  # type: ignore[arg-type]
        )
    info = mne.create_info(["Oz", "O1", "O2"], FS, "eeg")
    return mne.io.RawArray(data, info, verbose="ERROR"), blocks


def holds(folder: Path, raw: Any, blocks: list[Block]) -> None:
    """Every light that was shown answers; rest, and what was never shown, do not."""
    tables = {"shown": blocks, "rest": as_if_driven(blocks), "never": as_if_shown(blocks)}
    paths = write(folder, raw, tables)
    shown = ask(paths["raw"], paths["shown"])
    assert shown["verdict"] == "response"
    assert [row["frequency_hz"] for row in shown["curve"]] == list(DRIVES_HZ)
    for row in shown["curve"]:
        low, high = row["response_ci95_plv2"]
        assert row["p_corrected"] < 0.01
        assert 0.0 < low < row["excess_plv2"] < high
    assert shown["sham_p"] > 0.05
    assert shown["resonance"] == []
    assert "fewer than 5 frequencies" in shown["resonance_reason"]
    for name in ("rest", "never"):
        assert ask(paths["raw"], paths[name])["verdict"] == "no_response", name


def test_a_made_flicker_answers_where_it_was_shown_and_nowhere_else(tmp_path: Path) -> None:
    holds(tmp_path, *flicker())


def test_a_real_flicker_answers_where_it_was_shown_and_nowhere_else(tmp_path: Path) -> None:
    person = PEOPLE[1]
    for stamp in person[1:]:
        path = recording(f"ssvep_exo/{person[0]}_{stamp}_raw.fif")
    holds(tmp_path, *session(path.parents[1], person))
