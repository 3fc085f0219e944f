"""Other estimators of the phase at the end of a window, each behind the same call.

Every one is made from rest, rate and the individual band, and then gives the phase at the last
sample of a window. Packages are used unmodified; one that is not installed says so and is left
out: ``pip install meegkit eegphasepy`` and ``pip install --no-deps mne-rt`` bring them.
eegphasepy's PHASTIMATE tells a yes or no only; the phase inside it is listened to, and belongs to
the sample after the window. mne-rt cannot be imported without a window system; its function is
taken from its file.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter

from analysis.phase_replication import ETP, phastimate

Array = NDArray[np.float64]
Band = tuple[float, float]
Told = Callable[[Array], float]
Peer = Callable[[Array, float, Band], Told]


def our_phastimate(rest: Array, rate: float, band: Band) -> Told:
    return lambda window: phastimate(window, rate, band)


def our_etp(rest: Array, rate: float, band: Band) -> Told:
    return ETP(rest, rate, band).phase


def meegkit_echt(rest: Array, rate: float, band: Band) -> Told:
    """meegkit ECHT, its own defaults, band half as wide as its centre; fitted once."""
    from meegkit.phase import ECHT

    centre = sum(band) / 2.0
    model = ECHT(0.75 * centre, 1.25 * centre, rate)
    model.fit(rest[: round(rate), None])
    return lambda window: float(np.angle(model.transform(window[:, None])[-1, 0]))


def _filter(band: Band, rate: float) -> Array:
    return np.array(butter(2, band, btype="bandpass", fs=rate))


def eegphasepy_phastimate(rest: Array, rate: float, band: Band) -> Told:
    """eegphasepy PHASTIMATE, its own defaults, window of 0.5 s."""
    from EEGPhasePy.estimators import phastimate as module

    real_signal: Any = module.signal
    heard: list[Array] = []

    def listened(data: Array) -> Array:
        heard[:] = [real_signal.hilbert(data)]
        return heard[0]

    listening = SimpleNamespace(**{n: getattr(real_signal, n) for n in ("filtfilt", "find_peaks")})
    listening.hilbert = listened
    model = module.PHASTIMATE(_filter(band, rate), _filter(band, rate), round(rate))
    edge = int(model.window_edge / 1000 * rate)
    size = round(0.5 * rate)
    turn = math.pi * sum(band) / rate  # of one sample

    def told(window: Array) -> float:
        module.signal = listening
        try:
            model.predict(window[-size:], 0)
        finally:
            module.signal = real_signal
        return float(np.angle(heard[0][-edge])) - turn

    return told


def eegphasepy_etp(rest: Array, rate: float, band: Band) -> Told:
    """eegphasepy ETP, its own defaults, window of 0.5 s; needs 180 s to be fitted."""
    from EEGPhasePy.estimators import etp as module

    model = module.ETP(_filter(band, rate), _filter(band, rate), round(rate))
    model.fit(rest, round(rate / band[1]))
    size = round(0.5 * rate)

    def told(window: Array) -> float:
        # The next peak comes that many samples after the window's end, which is one past its last.
        wait = float(model.predict(window[-size:], 0)) + 1.0
        return float(np.angle(np.exp(-2j * np.pi * wait / model.period)))

    return told


def mne_rt_hilbert(rest: Array, rate: float, band: Band) -> Told:
    """mne-rt `compute_instantaneous_phase` on a window of a second."""
    spec = find_spec("mne_rt")
    if spec is None or spec.origin is None:
        raise ImportError("mne_rt")
    file = Path(spec.origin).parent / "tools" / "tools.py"
    name = "compute_instantaneous_phase"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    tree.body = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    space: dict[str, Any] = {"np": np}
    exec(compile(tree, str(file), "exec"), space)  # an installed package's own function
    return lambda window: float(space[name](window[None], rate, band)[0])


OURS: dict[str, Peer] = {"phastimate (replication)": our_phastimate, "ETP (replication)": our_etp}
PEERS: dict[str, tuple[str, Peer]] = {
    "meegkit ECHT": ("meegkit", meegkit_echt),
    "eegphasepy PHASTIMATE": ("EEGPhasePy", eegphasepy_phastimate),
    "eegphasepy ETP": ("EEGPhasePy", eegphasepy_etp),
    "mne-rt filtfilt+Hilbert": ("mne_rt", mne_rt_hilbert),
}


def missing() -> list[str]:
    """Peers whose package is not installed."""
    return [name for name, (package, _) in PEERS.items() if find_spec(package) is None]


def installed() -> dict[str, Peer]:
    """Everything that can run here, the replications first."""
    gone = set(missing())
    return OURS | {name: peer for name, (_, peer) in PEERS.items() if name not in gone}
