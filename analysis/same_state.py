"""Were two recordings made alike? Each check with its outcome, refusals where they were not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.channels import normal_name
from analysis.errors import UnusableRecording
from analysis.eyes import count_blinks, differ, said_state
from analysis.findings import listed
from analysis.io import Recording
from analysis.power import TOTAL_HZ
from analysis.quality import Examined, Quality, annotated_mask

_AVERAGED_CHANNELS = 8
_AMPLITUDE_APART = 10.0
_RANK_TOLERANCE = 1e-9
_MUSCLE_APART = 0.15


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that both recordings should have in common.

    Parameters
    ----------
    check : str
        What: `eyes`, `reference`, `channels`, `sampling_rate`, `filter`, `amplitude`, `rank`,
        `muscle`, `drowsiness`, `length`.
    before, after : object
        What was found on each side; plain values, None where it cannot be told.
    ok : bool or None
        Whether they agree; None where that cannot be told.
    note : str
        What it means; empty where there is nothing to say.
    """

    check: str
    before: Any
    after: Any
    ok: bool | None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "check": self.check,
            "before": self.before,
            "after": self.after,
            "ok": self.ok,
            "note": self.note,
        }


def check_reference(sides: Mapping[str, Any]) -> Check:
    """Compare the references, as far as signals and headers tell them.

    Parameters
    ----------
    sides : mapping of str to mne.io.BaseRaw
        EEG channels of the recordings `before` and `after`.

    Returns
    -------
    Check
        An empty channel tells a reference only where its name is an electrode's and no other
        channel is empty.

    Raises
    ------
    UnusableRecording
        If one is average-referenced and the other is not.
    """
    seen = {name: _reference(raw) for name, raw in sides.items()}
    before, after = seen["before"], seen["after"]
    if (before == "average") != (after == "average"):
        which = "before" if before == "average" else "after"
        raise UnusableRecording(
            f"the references differ: the recording {which} is average-referenced, the other is "
            "not; band power cannot be compared. Re-reference both in the same way first"
        )
    if before and after and before != after:
        note = (
            f"the empty channel is {before} before and {after} after: the references probably "
            "differ, and power with them; re-reference both in the same way first"
        )
        return Check("reference", before, after, False, note)
    custom = [int(raw.info["custom_ref_applied"]) for raw in sides.values()]
    if custom[0] != custom[1]:
        note = (
            "the headers disagree on whether a reference was applied: make sure that both "
            "recordings have the same reference"
        )
        return Check("reference", before, after, False, note)
    if before is None or after is None:
        note = f"{'only one' if before or after else 'none'} of the recordings shows its reference"
        return Check("reference", before, after, None, note)
    return Check("reference", before, after, True)


def _reference(raw: Any) -> str | None:
    """The average, or the one electrode that is empty; None where neither shows."""
    whole = raw.get_data()
    data = whole[np.isfinite(whole).all(axis=1)]
    if len(data) >= _AVERAGED_CHANNELS:
        typical = float(np.sqrt(np.mean(data.var(axis=1))))
        if float(data.mean(axis=0).std()) < 1e-3 * typical:
            return "average"
    empty = [name for name, wave in zip(raw.ch_names, whole, strict=True) if not wave.any()]
    return normal_name(empty[0]) if len(empty) == 1 and len(raw.ch_names) > 1 else None


def check_channels(sides: Mapping[str, Any], lost: tuple[str, ...]) -> Check:
    """Name the channels that only one recording has."""
    counts = [len(sides[name].ch_names) for name in ("before", "after")]
    note = f"channels in one recording alone were left out: {listed(lost, 12)}" if lost else ""
    return Check("channels", counts[0], counts[1], not lost, note)


def check_rate(sides: Mapping[str, Any]) -> Check:
    """Compare the sampling rates."""
    rates = {name: float(sides[name].info["sfreq"]) for name in ("before", "after")}
    slow = min(rates.values())
    note = "".join(
        f"the recording {name} was resampled from {rate:g} to {slow:g} Hz"
        for name, rate in rates.items()
        if rate != slow
    )
    return Check("sampling_rate", rates["before"], rates["after"], not note, note)


def check_filter(sides: Mapping[str, Any]) -> Check:
    """Compare what the filters let through, inside 1 to 40 Hz."""
    edges = {
        name: (float(sides[name].info["highpass"]), float(sides[name].info["lowpass"]))
        for name in ("before", "after")
    }
    felt = {(max(low, TOTAL_HZ[0]), min(high, TOTAL_HZ[1])) for low, high in edges.values()}
    note = ""
    if len(felt) > 1:
        (low_a, high_a), (low_b, high_b) = edges["before"], edges["after"]
        note = (
            f"filters differ: {low_a:g}-{high_a:g} Hz before, {low_b:g}-{high_b:g} Hz after; "
            "a part of the change may be the filters'"
        )
    return Check("filter", list(edges["before"]), list(edges["after"]), not note, note)


def check_amplitude(examined: Mapping[str, Examined], channels: tuple[str, ...]) -> Check:
    """Compare the amplitudes: ten times as large is another unit or gain, not another state.

    Parameters
    ----------
    examined : mapping of str to Examined
        The recordings.
    channels : tuple of str
        Channels good in both.

    Returns
    -------
    Check
        Medians over channels and seconds of the standard deviation, µV.

    Raises
    ------
    UnusableRecording
        If they are ten times apart.
    """
    found = {}
    for name, one in examined.items():
        rows = [one.names.index(channel) for channel in channels]
        found[name] = float(np.median(one.measures.spread[rows]) * 1e6)
    before, after = found["before"], found["after"]
    ratio = max(before, after) / max(min(before, after), 1e-300)
    if ratio > _AMPLITUDE_APART:
        raise UnusableRecording(
            f"amplitudes differ {ratio:.3g}-fold ({before:.3g} µV before, {after:.3g} µV after): "
            "unit or gain differ; mend them in the files, power cannot be compared"
        )
    known = [
        one.recording.unit_known
        for one in examined.values()
        if isinstance(one.recording, Recording)
    ]
    if len(set(known)) > 1:
        note = "the unit of one recording is known, that of the other is not"
        return Check("amplitude", before, after, None, note)
    return Check("amplitude", before, after, True)


def check_rank(examined: Mapping[str, Examined], channels: tuple[str, ...]) -> Check:
    """Compare the ranks: interpolation or ICA on one side alone lowers it there.

    Parameters
    ----------
    examined : mapping of str to Examined
        The recordings.
    channels : tuple of str
        Channels good in both.

    Returns
    -------
    Check
        Numbers of independent signals among these channels.
    """
    ranks = {}
    for name, one in examined.items():
        data = one.data[[one.names.index(channel) for channel in channels]]
        data -= data.mean(axis=1, keepdims=True)  # indexing made a copy
        values = np.linalg.eigvalsh(data @ data.T)
        ranks[name] = int(np.sum(values > _RANK_TOLERANCE * values[-1]))
    before, after = ranks["before"], ranks["after"]
    note = ""
    if before != after:
        fewer = "before" if before < after else "after"
        note = (
            f"the {len(channels)} shared channels hold {before} independent signals before and "
            f"{after} after: the recording {fewer} was cleaned, interpolated or bridged in a way "
            "that the other was not; give both as recorded"
        )
    return Check("rank", before, after, before == after, note)


def check_eyes(
    given: Mapping[str, Any],
    examined: Mapping[str, Examined],
    channels: tuple[str, ...],
) -> Check:
    """Compare the eyes: what is said of them, or else the blinks.

    Parameters
    ----------
    given : mapping of str to Recording or mne.io.BaseRaw
        The recordings as given.
    examined : mapping of str to Examined
        Their EEG channels, measured.
    channels : tuple of str
        Channels good in both.

    Returns
    -------
    Check
        Alpha itself is not asked: it is the outcome.
    """
    said = {name: said_state(given[name]) for name in ("before", "after")}
    if all(said.values()):
        told = {name: " and ".join(states) for name, states in said.items()}
        same = said["before"] == said["after"]
        note = (
            ""
            if same
            else f"the eyes were {told['before']} before and {told['after']} after: alpha changes "
            "with the eyes alone"
        )
        return Check("eyes", told["before"], told["after"], same, note)
    seen = {}
    for name in ("before", "after"):
        one = examined[name]
        rows = [one.names.index(channel) for channel in channels]
        # Blinks are what the rule for gross artefacts finds: only what is annotated is left out.
        keep = ~annotated_mask(one.raw)
        seen[name] = count_blinks(one.data[rows], channels, one.sfreq_hz, keep)
    before, after = seen["before"], seen["after"]
    if before is None or after is None:
        note = "nobody says, and no electrode at the forehead shows blinks"
        states = {name: " and ".join(one) or None for name, one in said.items()}
        return Check("eyes", states["before"], states["after"], None, note)
    words = [f"{one.per_minute:.1f} blinks a minute" for one in (before, after)]
    for place, name in enumerate(("before", "after")):
        if said[name]:
            words[place] = f"{' and '.join(said[name])}; {words[place]}"
    if differ(before, after):
        opened, closed = (
            ("before", "after") if before.per_minute > after.per_minute else ("after", "before")
        )
        note = (
            f"{before.per_minute:.1f} blinks a minute before and {after.per_minute:.1f} after: "
            f"the eyes were probably open {opened} and closed {closed}; alpha changes with the "
            "eyes alone. Nobody says it of both recordings: state it in the files"
        )
        return Check("eyes", words[0], words[1], False, note)
    return Check("eyes", words[0], words[1], None, "nobody says; blinks do not tell them apart")


def check_findings(quality: Mapping[str, Quality]) -> list[Check]:
    """Compare muscle tension and drowsiness.

    Parameters
    ----------
    quality : mapping of str to Quality
        Verdicts on the two recordings.

    Returns
    -------
    list of Check
        Shares of the time.
    """
    found = []
    for kind, apart, text in (
        ("muscle", _MUSCLE_APART, "muscle tension flattens the spectrum and adds to its power"),
        ("drowsiness", 0.0, "drowsiness lowers and slows alpha"),
    ):
        share = {
            name: next((f.share or 0.0 for f in one.findings if f.name == kind), 0.0)
            for name, one in quality.items()
        }
        before, after = share["before"], share["after"]
        same = abs(after - before) <= apart
        note = (
            ""
            if same
            else f"{kind} in {100.0 * before:.0f} % of the time before and {100.0 * after:.0f} % "
            f"after: {text}"
        )
        found.append(Check(kind, before, after, same, note))
    return found
