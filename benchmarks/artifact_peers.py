"""Other ways to take a stimulation artefact out, each behind the same call; for benchmarks only.

Every peer takes a made recording and gives its channels back. Packages are used unmodified; one
that is not installed says so and is left out. ``pip install clamnibs meegkit mne-denoise`` brings
them: they are heavy (pingouin, pyriemann and more), and nothing of the suite needs them. pyARtACS
is not on PyPI; its symmetric comb with uniform weights is `analysis.artifact_template.comb`.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.artifact_ged import Removal, threshold_ged
from analysis.artifact_lines import Stimulated, covariance, shifted_down, shifted_up, whitener
from analysis.artifact_sass import sass
from analysis.artifact_template import comb, sine_fit, template
from benchmarks.artifact_made import Made

Array = NDArray[np.float64]
Peer = Callable[[Made], Array]


def case_of(made: Made) -> Stimulated:
    """A made recording as the methods take it."""
    return Stimulated(made.stim_v, made.rest_v, made.sfreq_hz, made.stim_hz)


def _ours(method: Callable[[Stimulated], Removal]) -> Peer:
    """One of the suite's methods."""
    return lambda made: made.stim_v - method(case_of(made)).artefact


def power_threshold(made: Made, threshold_db: float = 9.0) -> Array:
    """Null what exceeds rest by 9 dB in power, locked to the current or not (8 to 12 Hz)."""
    fs, line_hz = made.sfreq_hz, made.stim_hz
    envelope = shifted_down(made.stim_v, fs, line_hz, 2.0)
    white = whitener(covariance(shifted_down(made.rest_v, fs, line_hz, 2.0)))
    values, vectors = np.linalg.eigh(white.forward @ covariance(envelope) @ white.forward.T)
    out = vectors[:, values > 10.0 ** (threshold_db / 10.0)]
    return made.stim_v - shifted_up(
        white.back @ out @ (out.T @ (white.forward @ envelope)), fs, line_hz
    )


def clamnibs_sass(made: Made) -> Array:
    """clamnibs, `clean_sensor_data`, on data filtered to 8 to 12 Hz as it demands."""
    from clamnibs.base import RawCLAM
    from clamnibs.sensor import clean_sensor_data

    pair = []
    for data in (made.rest_v, made.stim_v):
        raw: Any = made.raw(data).filter(8.0, 12.0, verbose="ERROR")
        raw.__class__ = RawCLAM  # its constructor reads files of its own laboratory
        raw.l_freq_target, raw.h_freq_target, raw.n_chs = 8.0, 12.0, data.shape[0]
        pair.append(raw)
    clean_sensor_data(*pair)
    return np.asarray(pair[1].get_data())


def meegkit_zapline(made: Made) -> Array:
    """meegkit, `dss_line`, two components."""
    from meegkit.dss import dss_line

    out, _ = dss_line(made.stim_v.T * 1e6, made.stim_hz, made.sfreq_hz, nremove=2)
    return np.asarray(out.T * 1e-6)


def meegkit_asr(made: Made) -> Array:
    """meegkit, artefact subspace reconstruction, calibrated on rest."""
    from meegkit.asr import ASR

    model = ASR(sfreq=made.sfreq_hz)
    model.fit(made.rest_v * 1e6)
    return np.asarray(model.transform(made.stim_v * 1e6) * 1e-6)


def mne_denoise_zapline(made: Made) -> Array:
    """mne-denoise, ZapLine with its own choice of components."""
    from mne_denoise.zapline import ZapLine

    model = ZapLine(sfreq=made.sfreq_hz, line_freq=made.stim_hz, verbose="ERROR")
    return np.asarray(model.fit_transform(made.stim_v * 1e6) * 1e-6)


OURS: dict[str, Peer] = {
    "none": lambda made: made.stim_v,
    "ged (default)": _ours(threshold_ged),
    "power > 9 dB over rest": power_threshold,
    "SASS (own)": _ours(sass),
    "template": _ours(template),
    "sine, 5 s": _ours(sine_fit),
    "comb, 10 periods": _ours(comb),
}
PEERS: dict[str, tuple[str, Peer]] = {
    "clamnibs SASS": ("clamnibs", clamnibs_sass),
    "meegkit ZapLine, 2": ("meegkit", meegkit_zapline),
    "meegkit ASR": ("meegkit", meegkit_asr),
    "mne-denoise ZapLine": ("mne_denoise", mne_denoise_zapline),
}


def adaptive_rls(made: Made) -> Array:
    """Recursive least squares with a sine as reference."""
    from analysis.artifact_adaptive import adaptive

    return made.stim_v - adaptive(case_of(made)).artefact


OURS["adaptive (RLS)"] = adaptive_rls


def missing() -> list[str]:
    """Peers whose package is not installed."""
    return [name for name, (package, _) in PEERS.items() if find_spec(package) is None]


def quietly(peer: Peer, made: Made) -> Array:
    """Run a peer without what it prints and warns."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return peer(made)
