"""Our peak finder and its peers on real recordings; nobody knows the truth behind these.

The recordings lie under TACS_TEST_DATA (by default ../shared/data beside the repository), described
in manifest.tsv there. Peers get the same channels and reference as ours, and the clean stretches
joined end to end. Figures are in Hz; "-" is no answer.

    python -m benchmarks.real_recordings [--figures DIR]
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import analysis
from benchmarks.peers import NEEDS, PEERS, installed

Array = NDArray[np.float64]

BAND_HZ = (7.0, 13.0)
DISAGREEMENT_HZ = 0.3
AVERAGE_FROM = 16
PEER_SECONDS = 20.0
TRIAL_S = 5.0
REST_CODE = 1
SHORT = {
    "Welch maximum": "Welch",
    "centre of gravity": "CoG",
    "centre of gravity over 1/f": "CoG-1/f",
    "fooof, default": "fooof",
    "fooof, tuned": "fooof-t",
    "specparam, tuned": "specp-t",
    "philistine": "philist",
    "IRASA (neurodsp)": "IRASA",
    "restingIAF (replication)": "restIAF",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One row: which file, and what of it."""

    label: str
    file: str
    condition: str
    sfreq_hz: float | None = None
    picks: tuple[str, ...] | None = None
    state: str | None = None
    rest_trials: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What was found in one recording."""

    item: Item
    ours: analysis.PeakEstimate
    peers: dict[str, float | None] = field(default_factory=dict)
    manifest: str = ""


SSVEP = (
    ("subject01", "2012.07.06-19.02.16", "2012.07.06-19.06.14"),
    ("subject03", "2012.07.11-15.25.23", "2012.07.11-15.33.08"),
    ("subject08", "2013.04.06-16.29.18", "2013.04.06-16.35.05"),
    ("subject10", "2014.02.26-15.32.36", "2014.02.26-15.40.22"),
)
ITEMS = (
    Item("S001R01", "eegmmidb_s001/S001R01.edf", "eyes open"),
    Item("S001R02", "eegmmidb_s001/S001R02.edf", "eyes closed"),
    Item("S001R03", "eegmmidb_s001/S001R03.edf", "moving fists"),
    *(
        Item(f"restingIAF {name}", f"restingiaf_ec/tute_{name}.set", "eyes closed")
        for name in ("01_1", "01_2", "02_1", "02_2")
    ),
    Item("BioSPPy open", "biosppy/eeg_eo.txt", "eyes open, 250 Hz", sfreq_hz=250.0),
    Item("BioSPPy closed", "biosppy/eeg_ec.txt", "eyes closed, 250 Hz", sfreq_hz=250.0),
    Item("BioSPPy as is", "biosppy/eeg_ec.txt", "closed, wrong rate"),
    *(
        Item(
            f"eye state {name}",
            "eye_state_uci/EEG_Eye_State.arff",
            f"eyes {name}",
            sfreq_hz=128.0,
            picks=("O1", "O2"),
            state=f"eyeDetection={value}",
        )
        for name, value in (("open", 0), ("closed", 1))
    ),
    Item("EEGLAB", "eeglab_data/eeglab_data.set", "visual task"),
    Item(
        "OpenBCI",
        "openbci_gui/OpenBCI_GUI-v6-blinks-jawClench-alpha.txt",
        "blinks, jaw, closed",
    ),
    Item(
        "OpenBCI 7, 8",
        "openbci_gui/OpenBCI_GUI-v6-blinks-jawClench-alpha.txt",
        "the same, occipital",
        picks=("7", "8"),
    ),
    Item("XDF", "bci_essentials_xdf/switch_example.xdf", "mental switch"),
    Item("Crown closed", "crown_short/eyes_closed.csv", "eyes closed, 9 s"),
    Item("Crown open", "crown_short/eyes_open.csv", "eyes open, 9 s"),
    Item("tiny BIDS", "tiny_bids", "rest, 2 s"),
    *(
        Item(
            f"{person[-2:]}/{number} {'rest' if rest else 'whole'}",
            f"ssvep_exo/{person}_{stamp}_raw.fif",
            "rest trials" if rest else "SSVEP and rest",
            rest_trials=rest,
        )
        for person, *stamps in SSVEP
        for number, stamp in enumerate(stamps, 1)
        for rest in (True, False)
    ),
)
RETEST = (
    ("restingIAF 01_1", "restingIAF 01_2"),
    ("restingIAF 02_1", "restingIAF 02_2"),
    *(
        (f"{p[-2:]}/1 {part}", f"{p[-2:]}/2 {part}")
        for part in ("rest", "whole")
        for p, *_ in SSVEP
    ),
)
OPEN_CLOSED = (
    ("S001R01", "S001R02"),
    ("BioSPPy open", "BioSPPy closed"),
    ("eye state open", "eye state closed"),
)


def data_folder() -> Path:
    """Where the real recordings are looked for."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("TACS_TEST_DATA", default))


def load(folder: Path, item: Item) -> analysis.Recording:
    """Read one recording, narrowed to the state or the trials asked for."""
    path = folder / item.file
    recording = analysis.load_recording(path, sfreq_hz=item.sfreq_hz)
    if item.state is not None:
        mark_other_states(recording.raw, item.state)
    if item.rest_trials:
        events = path.with_name(path.name.replace("_raw.fif", "-eve.fif"))
        return replace(recording, raw=rest_trials(recording.raw, events))
    return recording


def mark_other_states(raw: Any, state: str) -> None:
    """Mark everything but one state as bad, in place; states are annotations `name=value`."""
    name = state.split("=")[0]
    texts = [str(text) for text in raw.annotations.description]
    if state not in texts:
        raise analysis.RecordingError(f"no stretch {state!r} is marked in this recording")
    raw.annotations.rename(
        {text: f"bad {text}" for text in set(texts) if text.startswith(name) and text != state}
    )


def rest_trials(raw: Any, events: Path) -> Any:
    """Trials of 5 s after every rest cue, each less its mean and drift, joined end to end."""
    import mne
    from scipy.signal import detrend

    sfreq = float(raw.info["sfreq"])
    marks = mne.read_events(events, verbose="ERROR")
    starts = marks[marks[:, 2] == REST_CODE, 0] - raw.first_samp
    size = round(TRIAL_S * sfreq)
    data = raw.get_data()
    pieces = [detrend(data[:, s : s + size]) for s in starts if s + size <= data.shape[1]]
    if not pieces:
        raise analysis.RecordingError(f"{events.name} marks no whole rest trial")
    return mne.io.RawArray(np.concatenate(pieces, axis=1), raw.info.copy(), verbose="ERROR")


def peers(recording: analysis.Recording, ours: analysis.PeakEstimate) -> dict[str, float | None]:
    """Every peer on our channels, reference and clean stretches; none where too little is left."""
    quality = analysis.assess(recording, region=ours.channels)
    good = list(quality.good_channels)
    used = [name for name in ours.channels if name in good]
    if not used or quality.usable_s < PEER_SECONDS:
        return {}
    data = np.asarray(recording.raw.get_data(picks=good), dtype=float)
    if len(good) >= AVERAGE_FROM:
        data = data - data.mean(axis=0)
    data = data[[good.index(name) for name in used]][:, ~quality.artefact_mask(data.shape[1])]
    data = data - data.mean(axis=1, keepdims=True)
    answers: dict[str, float | None] = {}
    for name, peer in installed().items():
        try:
            answers[name] = peer(data, quality.sfreq_hz, used, BAND_HZ).frequency_hz
        except analysis.AnalysisError:
            answers[name] = None
    return answers


def manifest(folder: Path) -> dict[str, str]:
    """What the manifest says of each file's peak."""
    with (folder / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return {row["file"]: row["measured_alpha_peak_hz"] or row["note"] or "" for row in rows}


def rows(folder: Path) -> Iterator[Row | str]:
    """Every recording in turn, or why it was left out."""
    said = manifest(folder)
    for item in ITEMS:
        if not (folder / item.file).exists():
            yield f"{item.label}: {item.file} is not there"
            continue
        try:
            recording = load(folder, item)
            ours = analysis.find_peak(recording, band_hz=BAND_HZ, picks=item.picks)
            yield Row(item, ours, peers(recording, ours), said.get(item.file, ""))
        except analysis.AnalysisError as exc:
            yield f"{item.label}: {' '.join(str(exc).split())[:150]}"


def answer(estimate: analysis.PeakEstimate) -> str:
    """Our answer in a few characters; two frequencies for a split peak."""
    if estimate.frequency_hz is None:
        return estimate.status.replace("_", " ")
    if len(estimate.peaks) > 1:
        return "split " + " & ".join(f"{peak.frequency_hz:.2f}" for peak in estimate.peaks)
    if estimate.ci95_hz is None:
        return f"{estimate.frequency_hz:.2f}"
    low, high = estimate.ci95_hz
    mark = "?" if estimate.provisional else ""
    return f"{estimate.frequency_hz:.2f} [{low:.2f}, {high:.2f}]{mark}"


def print_row(row: Row) -> None:
    """One line of the table."""
    cells = ""
    for name in PEERS:
        value = row.peers.get(name)
        cells += f"{'-' if value is None else f'{value:.2f}':>8}"
    print(
        f"{row.item.label:<17}{row.item.condition:<20}{answer(row.ours):<23}{cells}"
        f"  {row.manifest[:44]}",
        flush=True,
    )


def disagreements(row: Row) -> list[str]:
    """One line for each peer that is more than 0.3 Hz from ours (from either peak, if split)."""
    own = [peak.frequency_hz for peak in row.ours.peaks]
    if not own and row.ours.frequency_hz is not None:
        own = [row.ours.frequency_hz]
    out = []
    for name, value in row.peers.items():
        if value is None or not own:
            continue
        apart = min(abs(value - frequency) for frequency in own)
        if apart > DISAGREEMENT_HZ:
            out.append(
                f"{row.item.label}: ours {answer(row.ours)}, {name} {value:.2f}: {apart:.2f} apart"
            )
    return out


def draw(row: Row, folder: Path) -> None:
    """Write our figure with every peer's answer in it."""
    if row.ours.spectrum is None:
        return
    figure = row.ours.plot()
    axes = figure.axes[0]
    for place, (name, value) in enumerate(row.peers.items()):
        if value is not None:
            axes.axvline(value, color="#6b6b6b", lw=0.8, ls=":")
            where = axes.get_xaxis_transform()
            axes.text(value, 0.02 + 0.04 * place, f" {SHORT[name]}", fontsize=6, transform=where)
    name = "".join(c if c.isalnum() else "-" for c in row.item.label)
    figure.savefig(folder / f"{name}.png", dpi=110)


def print_pairs(title: str, pairs: tuple[tuple[str, str], ...], found: dict[str, Row]) -> None:
    """Our answers in the two recordings of each pair."""
    print(f"\n{title}")
    for first, second in pairs:
        if first not in found or second not in found:
            print(f"  {first}, {second}: not both there")
            continue
        a, b = found[first].ours, found[second].ours
        text = f"  {first}: {answer(a)};  {second}: {answer(b)}"
        if a.frequency_hz is not None and b.frequency_hz is not None:
            text += f"; difference {b.frequency_hz - a.frequency_hz:+.2f} Hz"
            if a.ci95_hz is not None and b.ci95_hz is not None:
                overlap = a.ci95_hz[0] <= b.ci95_hz[1] and b.ci95_hz[0] <= a.ci95_hz[1]
                text += f", intervals {'overlap' if overlap else 'apart'}"
        print(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--figures", type=Path, metavar="DIR", help="write figures of disagreements"
    )
    given = parser.parse_args()
    folder = data_folder()
    if not (folder / "manifest.tsv").is_file():
        print(f"no real recordings: {folder}/manifest.tsv is not there; set TACS_TEST_DATA")
        sys.exit(0)
    if given.figures is not None:
        given.figures.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    for name in PEERS.keys() - installed().keys():
        print(f"{name} is left out: {NEEDS[name]} is not installed")
    heads = "".join(f"{SHORT[name]:>8}" for name in PEERS)
    print(f"{'recording':<17}{'condition':<20}{'ours [95 % interval]':<23}{heads}  manifest")
    found: dict[str, Row] = {}
    missing: list[str] = []
    for row in rows(folder):
        if isinstance(row, str):
            missing.append(row)
            continue
        found[row.item.label] = row
        print_row(row)
    print("\nWhere ours gives no peak")
    for row in found.values():
        if row.ours.frequency_hz is None:
            print(f"  {row.item.label}: {row.ours.status}: {'; '.join(row.ours.reasons)}")
    for text in missing:
        print(f"  {text}")
    print(f"\nMore than {DISAGREEMENT_HZ:g} Hz from ours")
    for row in found.values():
        lines = disagreements(row)
        for line in lines:
            print(f"  {line}")
        if lines and given.figures is not None:
            draw(row, given.figures)
    print_pairs("The same person twice", RETEST, found)
    print_pairs("Eyes open, eyes closed", OPEN_CLOSED, found)


if __name__ == "__main__":
    main()
