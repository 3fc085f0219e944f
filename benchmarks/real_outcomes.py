"""`compare` on real recordings in which something is known: a flicker's frequency, eyes, nothing.

Three questions. Does it find the flicker (13, 17 or 21 Hz) that a person looked at, and no other?
Does it say that alpha rose when the eyes were closed, and that the eyes may explain it? Does it
find no change between two recordings of one person without stimulation? The recordings lie under
TACS_TEST_DATA (by default ../shared/data beside the repository).

    python -m benchmarks.real_outcomes [--parts drive,eyes,retest] [--people N | --all]
                                       [--json FILE]

Trials of one kind are cut from 1 to 5 s after their cue and laid end to end, 2 s marked as bad
between them, so that a segment of 4 s lies in one trial alone. The band is a line's own three bins,
0.25 Hz either side. All three lights blink all the time, whichever is looked at, so that a small
line at another drive may be real: the height of the lines over their neighbourhood stands beside.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import analysis
from analysis.marks import add_marks

Array = NDArray[np.float64]

CODES = {"rest": 1, "13": 2, "21": 3, "17": 4}
DRIVES_HZ = (13.0, 17.0, 21.0)
CONTROLS_HZ = (15.0, 19.0, 23.5)
HALF_WIDTH_HZ = 0.25
TOP_HZ = 40.0
TRIAL_S = (1.0, 5.0)
SEAM_S = 2.0
PEOPLE = (
    ("subject01", "2012.07.06-19.02.16", "2012.07.06-19.06.14"),
    ("subject03", "2012.07.11-15.25.23", "2012.07.11-15.33.08"),
    ("subject08", "2013.04.06-16.29.18", "2013.04.06-16.35.05"),
    ("subject10", "2014.02.26-15.32.36", "2014.02.26-15.40.22"),
)
EYES = (
    ("eegmmidb S001", "eegmmidb_s001/S001R01.edf", "eegmmidb_s001/S001R02.edf", None),
    ("BioSPPy", "biosppy/eeg_eo.txt", "biosppy/eeg_ec.txt", 250.0),
    ("Crown, 9 s", "crown_short/eyes_open.csv", "crown_short/eyes_closed.csv", None),
)


@dataclass(frozen=True, slots=True)
class Found:
    """What `compare` says of one pair at one frequency.

    Parameters
    ----------
    what : str
        The pair.
    at : str
        `drive`, `other drive`, `harmonic`, `control`, `alpha`, `eyes` or `retest`.
    centre_hz : float or None
        Centre of the band; None where there is no answer.
    direction : str
        Direction, or `refused`.
    percent, low, high : float or None
        Change and its interval.
    text : str
        Reason of a refusal, or what `compare` says may explain the change.
    """

    what: str
    at: str
    centre_hz: float | None
    direction: str
    percent: float | None = None
    low: float | None = None
    high: float | None = None
    text: str = ""

    def cell(self) -> str:
        """Direction and change in a few characters."""
        if self.percent is None or self.low is None or self.high is None:
            return "refused"
        sign = {"increase": "UP", "decrease": "DOWN", "none": "none", "undetermined": "?"}
        return f"{sign[self.direction]} {self.percent:+.0f} [{self.low:+.0f}, {self.high:+.0f}]"


def data_folder() -> Path:
    """Where the real recordings are looked for."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("TACS_TEST_DATA", default))


def joined_trials(raws: Sequence[Any], starts: Sequence[NDArray[np.int64]]) -> Any:
    """Trials of one kind end to end, between them 2 s marked as bad.

    Parameters
    ----------
    raws : sequence of mne.io.BaseRaw
        Recordings with the same channels and rate.
    starts : sequence of ndarray of int
        Samples of the cues in each, counted from its first sample.

    Returns
    -------
    mne.io.RawArray
        1 to 5 s after each cue, less its mean and drift.
    """
    import mne
    from scipy.signal import detrend

    sfreq = float(raws[0].info["sfreq"])
    first, last = (round(edge * sfreq) for edge in TRIAL_S)
    seam = np.zeros((len(raws[0].ch_names), round(SEAM_S * sfreq)))
    pieces: list[Array] = []
    for raw, cues in zip(raws, starts, strict=True):
        data = raw.get_data()
        for cue in cues:
            if 0 <= cue + first and cue + last <= data.shape[1]:
                pieces += [detrend(data[:, cue + first : cue + last]), seam]
    if not pieces:
        raise analysis.RecordingError("no whole trial is marked")
    joined = mne.io.RawArray(
        np.concatenate(pieces[:-1], axis=1), raws[0].info.copy(), verbose="ERROR"
    )
    joined.set_annotations(None)
    count = len(pieces) // 2
    cycle_s = TRIAL_S[1] - TRIAL_S[0] + SEAM_S
    onsets = np.arange(count - 1) * cycle_s + cycle_s - SEAM_S
    add_marks(joined, onsets, np.full(count - 1, SEAM_S), "BAD_seam")
    return joined


def ask(
    what: str,
    at: str,
    pre: Any,
    post: Any,
    centre_hz: float | None,
    *,
    narrow: bool,
    discard_s: float,
) -> Found:
    """Compare two recordings at one frequency."""
    try:
        outcome = analysis.compare(
            pre,
            post,
            peak_hz=centre_hz,
            band_half_width_hz=HALF_WIDTH_HZ if narrow else 2.0,
            discard_s=discard_s,
            n_bootstrap=1000,
        )
    except analysis.AnalysisError as exc:
        return Found(what, at, centre_hz, "refused", text=" ".join(str(exc).split()))
    power = outcome.power.to_dict()
    low, high = power["ci95_percent"]
    told = [check["note"] for check in outcome.preparation["same_state"] if check["ok"] is False]
    return Found(
        what,
        at,
        outcome.peak_hz,
        outcome.direction,
        power["percent"],
        low,
        high,
        "; ".join(told),
    )


def frequencies(drive_hz: float) -> list[tuple[str, float]]:
    """Every frequency asked about, and what it is to the drive; second harmonics up to 40 Hz."""
    others = [("other drive", hz) for hz in DRIVES_HZ if hz != drive_hz]
    harmonics = [("harmonic", 2.0 * drive_hz)] if 2.0 * drive_hz < TOP_HZ else []
    controls = [("control", hz) for hz in CONTROLS_HZ]
    return [("drive", drive_hz), *others, *harmonics, *controls]


def drive_rows(what: str, rest: Any, driven: Any, drive_hz: float) -> list[Found]:
    """Rest against one flicker, at every frequency."""
    return [
        ask(what, at, rest, driven, hz, narrow=True, discard_s=0.0)
        for at, hz in frequencies(drive_hz)
    ]


def flicker_trials(folder: Path, person: tuple[str, str, str]) -> dict[str, Any]:
    """Trials of every kind of one person, both recordings together."""
    import mne

    name, *stamps = person
    raws, events = [], []
    for stamp in stamps:
        path = folder / "ssvep_exo" / f"{name}_{stamp}_raw.fif"
        raw = analysis.read_raw(path)
        raws.append(raw)
        marks = mne.read_events(
            path.with_name(path.name.replace("_raw.fif", "-eve.fif")), verbose="ERROR"
        )
        events.append(marks - np.array([raw.first_samp, 0, 0]))
    return {
        kind: [
            joined_trials([raw], [marks[marks[:, 2] == code, 0]])
            for raw, marks in zip(raws, events, strict=True)
        ]
        + [joined_trials(raws, [marks[marks[:, 2] == code, 0] for marks in events])]
        for kind, code in CODES.items()
    }


def line_db(joined: Any, line_hz: float) -> float:
    """Height of a line over its neighbourhood, mean over trials and channels, dB."""
    sfreq = float(joined.info["sfreq"])
    size = round((TRIAL_S[1] - TRIAL_S[0]) * sfreq)
    cycle = size + round(SEAM_S * sfreq)
    data = joined.get_data()
    pieces = [data[:, start : start + size] for start in range(0, data.shape[1] - size + 1, cycle)]
    spectra = np.abs(np.fft.rfft(np.stack(pieces) * np.hanning(size), axis=-1)) ** 2
    mean, freqs = spectra.mean(axis=(0, 1)), np.fft.rfftfreq(size, 1.0 / sfreq)
    away = np.abs(freqs - line_hz)
    return float(10.0 * np.log10(mean[away.argmin()] / mean[(away > 0.8) & (away < 2.0)].mean()))


def drive_part(folder: Path, people: int) -> Iterator[Found]:
    """Flicker against rest, person by person; prints as it goes."""
    print("Flicker against rest (16 trials of 4 s each): percent [95 % interval]")
    heads = "".join(f"{text:>22}" for text in ("at the drive", "2nd harmonic"))
    print(f"{'person, drive':<18}{'line dB 13/17/21':<18}{heads}  other drives; controls")
    for person in PEOPLE[:people]:
        if not (folder / "ssvep_exo" / f"{person[0]}_{person[1]}_raw.fif").exists():
            print(f"{person[0]}: not there")
            continue
        trials = flicker_trials(folder, person)
        rest = trials["rest"][2]
        for drive_hz in DRIVES_HZ:
            driven = trials[f"{drive_hz:g}"][2]
            what = f"{person[0]}, {drive_hz:g} Hz"
            found = drive_rows(what, rest, driven, drive_hz)
            heights = "/".join(f"{line_db(driven, hz):.1f}" for hz in DRIVES_HZ)
            kinds = ("drive", "harmonic", "other drive", "control")
            by = {at: [one for one in found if one.at == at] for at in kinds}
            harmonic = by["harmonic"][0].cell() if by["harmonic"] else "-"
            print(
                f"{what:<18}{heights:<18}{by['drive'][0].cell():>22}"
                f"{harmonic:>22}  "
                + ", ".join(f"{one.centre_hz:g}: {one.cell()}" for one in by["other drive"])
                + "; "
                + ", ".join(f"{one.centre_hz:g}: {one.cell()}" for one in by["control"]),
                flush=True,
            )
            yield from found
        # A person without flicker, one recording against the other, at the same frequencies.
        for hz in DRIVES_HZ:
            one = ask(
                f"{person[0]}, rest 1 to 2",
                "rest twice",
                *trials["rest"][:2],
                hz,
                narrow=True,
                discard_s=0.0,
            )
            print(f"{one.what:<18}{'':<18}{f'{hz:g} Hz: {one.cell()}':>22}", flush=True)
            yield one


def eyes_part(folder: Path) -> Iterator[Found]:
    """Eyes open against closed, and the other way round."""
    print("\nEyes open, then closed, at 10 Hz; and the other way round")
    for label, opened, closed, rate_hz in EYES:
        paths = [folder / opened, folder / closed]
        if not all(path.exists() for path in paths):
            print(f"{label}: not there")
            continue
        try:
            sides = [analysis.load_recording(path, sfreq_hz=rate_hz) for path in paths]
        except analysis.AnalysisError as exc:
            yield Found(label, "eyes", 10.0, "refused", text=" ".join(str(exc).split()))
            continue
        for way, (pre, post) in (("open, closed", sides), ("closed, open", sides[::-1])):
            one = ask(f"{label}: {way}", "eyes", pre, post, 10.0, narrow=False, discard_s=3.0)
            print(f"{one.what:<30}{one.cell():>24}  {one.text[:170]}", flush=True)
            yield one


def retest_part(folder: Path, people: int) -> Iterator[Found]:
    """One recording of a person against the other, alpha, without stimulation."""
    print("\nThe same person twice, alpha about the peak before (10 Hz where there is none)")
    pairs: list[tuple[str, Any, Any, float]] = []
    for number in ("01", "02"):
        paths = [folder / "restingiaf_ec" / f"tute_{number}_{n}.set" for n in (1, 2)]
        if all(path.exists() for path in paths):
            sides = [analysis.load_recording(path) for path in paths]
            pairs.append((f"restingIAF {number}", *sides, 3.0))
    for person in PEOPLE[:people]:
        if (folder / "ssvep_exo" / f"{person[0]}_{person[1]}_raw.fif").exists():
            rest = flicker_trials(folder, person)["rest"]
            pairs.append((f"{person[0]} rest", rest[0], rest[1], 0.0))
    for label, first, second, discard_s in pairs:
        for way, pre, post in (("1 to 2", first, second), ("2 to 1", second, first)):
            what = f"{label}: {way}"
            one = ask(what, "retest", pre, post, None, narrow=False, discard_s=discard_s)
            if one.direction == "refused" and "no individual peak" in one.text:
                one = ask(what, "retest", pre, post, 10.0, narrow=False, discard_s=discard_s)
            at = "" if one.centre_hz is None else f"{one.centre_hz:.2f} Hz"
            print(f"{one.what:<30}{at:>9}{one.cell():>24}  {one.text[:150]}", flush=True)
            yield one


def counted(found: Sequence[Found]) -> list[str]:
    """Hits and false alarms in words."""
    lines = []
    for at, good, title in (
        ("drive", ("increase",), "drive found as an increase"),
        (
            "harmonic",
            ("increase",),
            "second harmonic, told apart: increase",
        ),
        ("other drive", ("increase",), "false alarm: increase at a drive that was not on"),
        ("other drive", ("decrease",), "decrease at a drive that was not on"),
        ("control", ("increase",), "false alarm: increase at 15, 19 or 23.5 Hz"),
        ("control", ("decrease",), "decrease at 15, 19 or 23.5 Hz"),
        ("rest twice", ("increase", "decrease"), "false alarm: rest against rest, drive lines"),
        ("retest", ("increase", "decrease"), "false alarm: same person twice, alpha"),
        ("retest", ("undetermined",), "same person twice, alpha: undetermined"),
        ("retest", ("none",), "same person twice, alpha: none"),
    ):
        these = [one for one in found if one.at == at and one.direction != "refused"]
        if these:
            hits = sum(one.direction in good for one in these)
            lines.append(f"{title}: {hits} of {len(these)}")
    refused = [one for one in found if one.direction == "refused"]
    lines += [f"refused: {one.what}: {one.text[:200]}" for one in refused]
    return lines


def run(folder: Path, parts: Sequence[str], people: int) -> list[Found]:
    """Every part asked for."""
    found: list[Found] = []
    if "drive" in parts:
        found += drive_part(folder, people)
    if "eyes" in parts:
        found += eyes_part(folder)
    if "retest" in parts:
        found += retest_part(folder, people)
    print("\nCounted")
    for line in counted(found):
        print(f"  {line}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default="drive,eyes,retest", help="which tables")
    parser.add_argument("--people", type=int, default=1, help="people of the flicker (1)")
    parser.add_argument("--all", action="store_true", help="everybody")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every answer")
    given = parser.parse_args()
    folder = data_folder()
    if not (folder / "manifest.tsv").is_file():
        print(f"no real recordings: {folder}/manifest.tsv is not there; set TACS_TEST_DATA")
        sys.exit(0)
    warnings.simplefilter("ignore")
    people = len(PEOPLE) if given.all else given.people
    found = run(folder, given.parts.split(","), people)
    if given.json is not None:
        rows = [asdict(one) for one in found]
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
