"""A made course: sessions with records, peaks, outcomes and ratings, at any time."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tacs.dataset import SessionPaths, ensure_dataset
from tacs.journal import Journal
from tacs.ratings import Rating, rate
from tacs.record import RecordWriter
from tacs.scales import load_scale
from tests.tacs.made import protocol

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WHO = {"operator": "AB", "role": "rater"}


class Clinic:
    """A data set that is written at any time of the past."""

    def __init__(self, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dataset = ensure_dataset(dataset)
        self.at = START
        monkeypatch.setattr("tacs.record.utc_now", lambda: self.at)

    def day(self, number: float) -> datetime:
        self.at = START + timedelta(days=number)
        return self.at

    def session(
        self,
        label: str,
        day: float,
        *,
        subject: str = "P01",
        waveform: str = "tacs",
        ln_ratio: float | None = None,
        peak_hz: float | None = None,
        ci_half_hz: float = 0.07,
        outcome: str = "done",
        blinding: Mapping[str, Any] | None = None,
    ) -> SessionPaths:
        self.day(day)
        paths = SessionPaths.of(self.dataset, subject, label)
        more: dict[str, Any] = {"sham_plateau_s": 5.0} if waveform == "active_sham" else {}
        if blinding is not None:
            more["blinding"] = dict(blinding)
        made = protocol(waveform=waveform, **more)
        charge_c = 0.75 if waveform == "tacs" else 0.02
        delivered = {
            "duration_s": 1199.9, "frequency_hz": 10.27, "current_peak_ma": 0.9998,
            "electrodes": {"Oz": 0.9998, "Cz": 0.9998}, "rectified_charge_c": charge_c,
            "source": "measured",
        }  # fmt: skip
        with RecordWriter(paths.record) as writer:
            first = {
                "subject": subject, "session": label, "protocol": made.to_data(),
                "protocol_sha256": made.sha256(), "emulated": True, "device": "synthpal",
                "operator": "AB", "role": "operator",
            }  # fmt: skip
            writer.append("session", 0.0, first, sync=False)
            writer.append("intent", 1.0, {"verb": "start"}, sync=False)
            end = {"outcome": outcome, "cause": "", "delivered": None if blinding else delivered}
            writer.append("end", 1201.0, end, sync=True)
        if peak_hz is not None:
            self.peak(paths, peak_hz, ci_half_hz)
        if ln_ratio is not None:
            self.outcome(paths, ln_ratio)
        return paths

    def peak(self, paths: SessionPaths, peak_hz: float, ci_half_hz: float = 0.07) -> None:
        data = {
            "status": "found", "frequency_hz": peak_hz,
            "ci95_hz": [peak_hz - ci_half_hz, peak_hz + ci_half_hz], "band_hz": [7.0, 13.0],
            "prominence_db": 12.0, "replication": False, "method": "made",
            "measured_at": self.at.isoformat(), "recording_sha256": "0" * 64,
        }  # fmt: skip
        self._write(paths.peak, data)

    def outcome(self, paths: SessionPaths, ln_ratio: float) -> None:
        low, percent, high = (100.0 * (math.exp(ln_ratio + d) - 1.0) for d in (-0.1, 0.0, 0.1))
        data = {
            "power": {
                "ln_ratio": ln_ratio, "percent": percent, "ci95_percent": [low, high],
                "p": None, "band_hz": [8.3, 12.3], "adjusted": {"ln_ratio": ln_ratio},
            },
            "connectivity": {"imcoh": {"power_matched_change": 0.01}},
            "direction": "increase" if low > 0.0 else "undetermined",
            "expected_direction": "increase", "as_predicted": True, "peak_shift_hz": 0.02,
        }  # fmt: skip
        self._write(paths.outcome, data)

    def rated(
        self, scale: str, total: int, day: float, *, subject: str = "P01", **more: Any
    ) -> Rating:
        """Rate a person so that the total comes out, filled from the first item on."""
        at, chosen = self.day(day), load_scale(scale)
        left = total - chosen.total_minimum
        answers = {}
        for item in chosen.items:
            step = min(left, item.maximum - item.minimum)
            answers[item.number], left = item.minimum + step, left - step
        assert left == 0
        fields = {**WHO, **more}
        return rate(self.dataset, chosen, answers, subject=subject, at=at, now=at, **fields)

    @property
    def journal(self) -> Journal:
        return Journal(self.dataset)

    def _write(self, path: Path, data: Mapping[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data))
