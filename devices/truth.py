"""What is true of a virtual patient: the parameters, and the truth behind each recording."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from devices.aftereffect import AfterEffectTruth, Eyes
from devices.rhythm import Rhythm
from tacs.errors import InputError

__all__ = ["NODES", "Node", "PatientState", "PatientTruth", "RecordingTruth", "ln_power_ratio"]


@dataclass(frozen=True, slots=True)
class Node:
    """One source of the rhythm.

    Parameters
    ----------
    name : str
        What to call it.
    site : str
        10-10 site above it.
    weight : float
        Its amplitude on the scalp, relative to the patient's ``amplitude_uv``.
    direction : {1, 0, -1}
        Whether stimulation leaves more power here, the same, or less.
    """

    name: str
    site: str
    weight: float = 1.0
    direction: int = 1


NODES = (
    Node("occipital", "Oz", 1.0, 1),
    Node("parietal", "Pz", 0.5, 1),
    Node("left_frontal", "F3", 0.35, -1),
    Node("right_frontal", "F4", 0.35, 0),
)
_COUPLING_PER_S = (
    (0.0, 1.0, 0.2, 0.2),
    (1.0, 0.0, 0.3, 0.3),
    (0.2, 0.3, 0.0, 0.5),
    (0.2, 0.3, 0.5, 0.0),
)

# Name of the field, least value, greatest value, unit.
_RANGES: tuple[tuple[str, float, float, str], ...] = (
    ("peak_hz", 3.0, 45.0, "Hz"),
    ("fwhm_hz", 0.05, 10.0, "Hz"),
    ("amplitude_uv", 0.0, 1000.0, "µV"),
    ("eyes_closed_gain", 0.01, 100.0, ""),
    ("eyes_open_gain", 0.01, 100.0, ""),
    ("relaxation_per_s", 0.1, 200.0, "per s"),
    ("sensitivity_per_s_ma", 0.0, 1000.0, "per s and mA"),
    ("wander_sd_hz", 0.0, 2.0, "Hz"),
    ("wander_tau_s", 1.0, 1e6, "s"),
    ("drift_per_min", -0.05, 0.05, "per min"),
    ("aperiodic_exponent", 0.0, 2.0, ""),
    ("aperiodic_uv", 0.0, 1000.0, "µV"),
    ("sensor_noise_uv", 0.0, 1000.0, "µV"),
    ("artefact_uv_per_ma", 0.0, 1e6, "µV per mA"),
    ("artefact_modulation", 0.0, 1.0, ""),
    ("blinks_per_min", 0.0, 120.0, "per min"),
    ("blink_uv", 0.0, 1000.0, "µV"),
    ("emg_uv", 0.0, 1000.0, "µV"),
    ("plasticity", 0.0, 1.0, ""),
)


@dataclass(frozen=True, slots=True)
class PatientTruth:
    """Everything that is true of a virtual patient.

    Parameters
    ----------
    peak_hz, fwhm_hz : float
        Frequency of the rhythm, shared by all nodes, and the line width that phase diffusion gives.
        The width seen in a spectrum is about a quarter more at the default.
    amplitude_uv : float
        Zero-to-peak amplitude of the undisturbed rhythm at size 1, right above a node of weight 1;
        0 makes a patient without a rhythm.
    eyes_closed_gain, eyes_open_gain : float
        Size ``r0`` of the rhythm in either state. A large rhythm answers less to the same current.
    relaxation_per_s, sensitivity_per_s_ma : float
        ``lam`` and ``k`` of :class:`devices.rhythm.Rhythm`; k is assumed, chosen weak.
    wander_sd_hz, wander_tau_s : float
        Slow random wander of the peak: standard deviation and memory.
    drift_per_min : float
        Growth of power per minute whatever is done, in active and sham sessions alike.
    aperiodic_exponent, aperiodic_uv : float
        Slope of the 1/f background, and its root mean square in 1-45 Hz.
    sensor_noise_uv : float
        Root mean square of white noise per channel.
    artefact_uv_per_ma, artefact_modulation : float
        Stimulation artefact at an electrode's own site, and the share by which heartbeat and
        breathing modulate it.
    blinks_per_min, blink_uv : float
        Rate with eyes open, and height at Fpz.
    emg_uv : float
        Root mean square of muscle above 20 Hz at T7 and T8.
    nodes : tuple of Node
        One to eight sources.
    coupling_per_s : tuple of tuple of float
        ``g[i][j]``, pull of node j on node i; empty for none.
    plasticity : float
        How far a link follows the power change c of its two ends: ``g (1 + plasticity (c_i +
        c_j)/2)``.
    after_effect : AfterEffectTruth
        What stimulation leaves behind.

    Raises
    ------
    InputError
        If a value is out of range or the coupling does not fit the nodes.
    """

    peak_hz: float = 10.0
    fwhm_hz: float = 1.0
    amplitude_uv: float = 10.0
    eyes_closed_gain: float = 2.0
    eyes_open_gain: float = 0.5
    relaxation_per_s: float = 5.0
    sensitivity_per_s_ma: float = 2.0
    wander_sd_hz: float = 0.15
    wander_tau_s: float = 60.0
    drift_per_min: float = 0.003
    aperiodic_exponent: float = 1.5
    aperiodic_uv: float = 6.0
    sensor_noise_uv: float = 0.5
    artefact_uv_per_ma: float = 5000.0
    artefact_modulation: float = 0.01
    blinks_per_min: float = 12.0
    blink_uv: float = 120.0
    emg_uv: float = 0.0
    nodes: tuple[Node, ...] = NODES
    coupling_per_s: tuple[tuple[float, ...], ...] = _COUPLING_PER_S
    plasticity: float = 0.0
    after_effect: AfterEffectTruth = field(default_factory=AfterEffectTruth)

    def __post_init__(self) -> None:
        for name, low, high, unit in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(
                    f"virtual patient: {name} is {value:g}, allowed are {low:g} to {high:g} {unit}"
                )
        names = [node.name for node in self.nodes]
        if not 1 <= len(names) <= 8 or len(set(names)) != len(names):
            raise InputError(
                "virtual patient: give one to eight nodes, each with a name of its own"
            )
        for node in self.nodes:
            if node.direction not in (-1, 0, 1) or not 0.0 <= node.weight <= 100.0:
                raise InputError(
                    f"virtual patient: node {node.name} needs a direction of -1, 0 or 1 and a "
                    "weight of 0 to 100"
                )
        rows = self.coupling_per_s
        if rows and (len(rows) != len(names) or any(len(row) != len(names) for row in rows)):
            raise InputError(
                f"virtual patient: coupling_per_s must be {len(names)} x {len(names)}, one row per "
                "node, or () for uncoupled nodes"
            )
        if not all(0.0 <= g <= 100.0 for row in rows for g in row):
            raise InputError("virtual patient: each coupling_per_s must lie between 0 and 100")

    @property
    def rhythm(self) -> Rhythm:
        """Constants of the oscillators."""
        return Rhythm(self.peak_hz, self.fwhm_hz, self.relaxation_per_s, self.sensitivity_per_s_ma)

    def size(self, eyes: Eyes) -> float:
        """Return ``r0`` with eyes open or closed, before drift and after-effect."""
        return self.eyes_open_gain if eyes == "open" else self.eyes_closed_gain

    @classmethod
    def draw(cls, seed: int, **changes: Any) -> PatientTruth:
        """Draw a person: a peak from N(10, 0.9) Hz between 7.5 and 12.5 Hz, the rest as given.

        Parameters
        ----------
        seed : int
            Seed of the draw.
        **changes
            Fields of the truth.

        Returns
        -------
        PatientTruth
            The person.
        """
        rng = np.random.default_rng(seed)
        peak_hz = math.inf
        while not 7.5 <= peak_hz <= 12.5:
            peak_hz = float(rng.normal(10.0, 0.9))
        return cls(**{"peak_hz": peak_hz, **changes})

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        plain = asdict(self)
        plain["nodes"] = list(plain["nodes"])
        plain["coupling_per_s"] = [list(row) for row in self.coupling_per_s]
        return plain


@dataclass(frozen=True, slots=True)
class RecordingTruth:
    """What was true while a recording was made.

    Parameters
    ----------
    start_s, duration_s : float
        Patient time of the first sample, and length.
    eyes : {"open", "closed"}
        State.
    peak_hz : float
        Mean of the momentary peak frequency.
    power : dict of str to float
        Mean of ``r0²`` per node: the undisturbed power, relative to size 1. The passing gain under
        current is not in it (:func:`devices.rhythm.driven_moments`).
    under_current : bool
        Whether current reached the patient meanwhile.
    """

    start_s: float
    duration_s: float
    eyes: Eyes
    peak_hz: float
    power: dict[str, float]
    under_current: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PatientState:
    """What is true of the patient at one moment.

    Parameters
    ----------
    time_s : float
        Patient time.
    peak_hz : float
        Momentary peak frequency, wander included.
    w : dict of str to float
        After-effect per node, 0 or more.
    power_change : dict of str to float
        Factor on the power of each node: after-effect and drift, eyes not counted.
    coupling_per_s : tuple of tuple of float
        Coupling, plasticity included.
    """

    time_s: float
    peak_hz: float
    w: dict[str, float]
    power_change: dict[str, float]
    coupling_per_s: tuple[tuple[float, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        plain = asdict(self)
        plain["coupling_per_s"] = [list(row) for row in self.coupling_per_s]
        return plain


def ln_power_ratio(pre: RecordingTruth, post: RecordingTruth) -> dict[str, float]:
    """Natural logarithm of the true power of each node after, over that before.

    Parameters
    ----------
    pre, post : RecordingTruth
        From :attr:`devices.patient.VirtualPatient.recordings`.

    Returns
    -------
    dict of str to float
        Per node. Band power on the scalp holds background too and shows a little less.
    """
    return {name: math.log(post.power[name] / pre.power[name]) for name in pre.power}
