"""Results of profiles with known numbers, as ``tacs profile analyze --out`` writes them."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np

DESIGN: dict[str, Any] = {
    "order": [],
    "levels": [1.0],
    "n_frequencies": 9,
    "spacing_hz": [1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0],
    "seconds_per_block": 120.0,
    "gap_s": 60.0,
    "reads_per_frequency": 1.0,
    "n_sham": 1,
    "read_s": None,
    "band_width_hz": 9.0,
    "virtual_references": {"kind": "references beside the drive", "n": 72},
}
OFFSETS_HZ = np.array([-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0])


def made_result(
    subject: str,
    *,
    centre_hz: float = 10.0,
    half_width_hz: float = 0.8,
    height: float = 0.1,
    fwhm_hz: float = 1.0,
    tolerance_hz: float = 2.0,
    sd_hz: float = 0.1,
    sd_ln: float = 0.1,
    verdict: str = "response",
    sham: float = 0.0,
    file: str = "",
    noise: np.random.Generator | None = None,
    **more: Any,
) -> dict[str, Any]:
    """One result; intervals are 1.96 of the standard deviations given either side."""

    def ends(value: float) -> list[float]:
        return [value * math.exp(-1.96 * sd_ln), value * math.exp(1.96 * sd_ln)]

    hz = 10.0 + OFFSETS_HZ
    response = height / (1.0 + ((hz - centre_hz) / half_width_hz) ** 2)
    if noise is not None:
        response = np.maximum(response + 0.003 * noise.standard_normal(hz.size), 0.0)
    answered = verdict == "response"
    curve = [
        {
            "frequency_hz": float(f),
            "level": 1.0,
            "response_plv2": float(r),
            "response_ci95_plv2": ends(float(r)),
            "p_corrected": 0.001 if answered else 0.6,
        }
        for f, r in zip(hz, response, strict=True)
    ]
    resonance = {
        "level": 1.0,
        "centre_hz": centre_hz,
        "centre_ci95_hz": [centre_hz - 1.96 * sd_hz, centre_hz + 1.96 * sd_hz],
        "half_width_hz": half_width_hz,
        "half_width_ci95_hz": ends(half_width_hz),
        "height_plv2": height,
        "height_ci95_plv2": ends(height),
    }
    return {
        "mode": "photic",
        "verdict": verdict,
        "curve": curve,
        "sham_curve": [],
        "resonance": [resonance] if answered else [],
        "echo": [],
        "arnold": None,
        "channels": ["Oz"],
        "design": DESIGN,
        "rest": {"fwhm_hz": fwhm_hz, "seconds": 300.0, "centre_hz": centre_hz},
        "frequency_tolerance": {
            "tolerance_hz": tolerance_hz,
            "tolerance_ci95_hz": ends(tolerance_hz),
        },
        "subject": subject,
        "recording_sha256": hashlib.sha256(f"{subject} {file}".encode()).hexdigest(),
        "file": file or f"{subject}.json",
        **more,
    }


def made_people(n: int, rng: np.random.Generator, prefix: str = "p") -> list[dict[str, Any]]:
    """People of one population; their numbers are correlated and hold the noise of measuring."""
    shared = rng.standard_normal(n)
    own = rng.standard_normal((5, n))
    mixed = 0.6 * shared + 0.8 * own
    return [
        made_result(
            f"{prefix}{i}",
            centre_hz=10.0 + 0.8 * mixed[0, i],
            half_width_hz=0.8 * math.exp(0.3 * mixed[1, i]),
            height=0.1 * math.exp(0.5 * mixed[2, i]),
            fwhm_hz=math.exp(0.3 * mixed[3, i]),
            tolerance_hz=2.0 * math.exp(0.2 * mixed[4, i]),
        )
        for i in range(n)
    ]
