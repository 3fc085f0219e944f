"""Live EEG on a terminal, in place, or as a line every few seconds where there is none."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from tacs.eeg_watch import Snapshot, View

if TYPE_CHECKING:
    from analysis.estimate import PeakEstimate, PeakSpectrum

__all__ = ["LineView", "TerminalView", "peak_words", "spectrum_rows", "timing_words", "viewing"]

SHOWN_HZ = (2.0, 30.0)
COLUMN_HZ = 0.5
ROWS = 6
BLOCKS = " ▁▂▃▄▅▆▇█"
NEEDED_S = 30.0


class LineView:
    """A line for every look.

    Parameters
    ----------
    stream : text stream
        Where they go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, now: Snapshot) -> None:
        """Write one line; a stream that is gone is passed over."""
        bad = [state for state in now.states if state.state != "good"]
        n = len(now.states)
        quality = f"{n - len(bad)} of {n} channels good" if n else "channels not known yet"
        if bad:
            quality += " (" + ", ".join(f"{x.channel} {x.state}" for x in bad[:4])
            quality += f", and {len(bad) - 4} more)" if len(bad) > 4 else ")"
        words = [_minutes(now.elapsed_s), peak_words(now), quality, timing_words(now.timing)]
        if now.stale:
            words.insert(1, "NOTHING COMES")
        with contextlib.suppress(OSError, ValueError):
            self._stream.write("  ".join(words) + "\n")
            self._stream.flush()


class TerminalView:
    """A view that is renewed in place.

    Parameters
    ----------
    live : rich.live.Live
        Where it is drawn.
    source : str
        What is watched.
    """

    def __init__(self, live: Any, source: str) -> None:
        self._live = live
        self._source = source

    def show(self, now: Snapshot) -> None:
        """Draw it; a terminal that is gone is passed over."""
        with contextlib.suppress(OSError, ValueError):
            self._live.update(self.drawn(now), refresh=True)

    def drawn(self, now: Snapshot) -> Any:
        """Return what is drawn."""
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        parts: list[Any] = []
        if now.stale:
            parts.append(Text("NOTHING COMES", style="bold red"))
        parts.append(Text(peak_words(now), style="bold"))
        spectrum = None if now.estimate is None else now.estimate.spectrum
        if spectrum is not None:
            parts += [
                Text(""),
                *(Text(row, style="cyan", no_wrap=True) for row in spectrum_rows(spectrum)),
            ]
        parts.append(Text(""))
        for state in dict.fromkeys(x.state for x in now.states):
            these = [x.channel for x in now.states if x.state == state]
            style = "green" if state == "good" else "yellow"
            parts.append(Text(f"{state} ({len(these)}): {', '.join(these)}", style=style))
        parts += [Text(""), Text(timing_words(now.timing), style="dim")]
        title = f"{self._source}  {_minutes(now.elapsed_s)}  Ctrl-C ends"
        return Panel(Group(*parts), title=Text(title), title_align="left")


@contextlib.contextmanager
def viewing(source: str, stream: TextIO) -> Iterator[View]:
    """Give the view that suits a stream, while the block runs.

    Parameters
    ----------
    source : str
        What is watched.
    stream : text stream
        Standard error; in place where that is a terminal, else lines.
    """
    if not stream.isatty():
        yield LineView(stream)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(file=stream), auto_refresh=False) as live:
        yield TerminalView(live, source)


def peak_words(now: Snapshot) -> str:
    """Return the peak with its interval, or why there is none."""
    found = now.estimate
    # An estimate is a little older than what has come by now.
    if found is None or (found.status == "unusable" and now.have_s < NEEDED_S + 2.0):
        return f"collecting, {min(now.have_s, NEEDED_S):.0f} of {NEEDED_S:.0f} s"
    return estimate_words(found)


def estimate_words(found: PeakEstimate) -> str:
    """Return an estimate in one line."""
    if found.frequency_hz is None:
        head = "no reliable peak" if found.status == "no_peak" else "unusable"
        return f"{head}: {found.reasons[0]}" if found.reasons else head
    words = f"{'provisional ' if found.provisional else ''}peak {found.frequency_hz:.2f} Hz"
    if found.ci95_hz is None:
        words += " (no interval)"
    else:
        words += f" (95 % {found.ci95_hz[0]:.2f} to {found.ci95_hz[1]:.2f} Hz)"
    if found.prominence_db is not None:
        words += f", {found.prominence_db:.1f} dB"
    return f"{words}, last {found.seconds_used:.0f} s"


def timing_words(timing: Any) -> str:
    """Return how the source keeps time; what is not known yet is left out."""
    words = [_counted(timing.n_gaps, "gap"), _counted(timing.n_missing, "sample") + " lost"]
    if timing.n_restarts:
        words.append(_counted(timing.n_restarts, "jump") + " of time")
    for text, value in (
        ("drift {:+.0f} ppm", timing.drift_ppm),
        ("jitter {:.1f} ms", 1e3 * timing.jitter_s),
        ("delay {:.0f} ms", 1e3 * timing.delay_s),
    ):
        if math.isfinite(value):
            words.append(text.format(round(value, 1) + 0.0))  # no minus before a zero
    if timing.clock_offset_s is not None:
        words.append(f"clock offset {timing.clock_offset_s:.4f} s")
        if math.isfinite(timing.clock_drift_ppm):
            words.append(f"growing by {timing.clock_drift_ppm:+.1f} ppm")
    return ", ".join(words)


def spectrum_rows(spectrum: PeakSpectrum) -> list[str]:
    """Draw a spectrum with blocks, its frequencies below.

    Parameters
    ----------
    spectrum : PeakSpectrum
        Of the estimate.

    Returns
    -------
    list of str
        Six rows and the axis, from 2 to 30 Hz.
    """
    low_hz, high_hz = SHOWN_HZ
    shown: list[tuple[float, float]] = []
    for column in range(round((high_hz - low_hz) / COLUMN_HZ) + 1):
        middle_hz = low_hz + COLUMN_HZ * column
        inside = [
            float(db)
            for hz, db in zip(spectrum.freqs_hz, spectrum.power_db, strict=True)
            if -0.5 <= (hz - middle_hz) / COLUMN_HZ < 0.5
        ]
        if inside:
            shown.append((middle_hz, sum(inside) / len(inside)))
    least, most = min(db for _, db in shown), max(db for _, db in shown)
    scale = (ROWS * 8 - 1) / (most - least) if most > least else 0.0
    heights = [1 + round((db - least) * scale) for _, db in shown]
    rows = [
        f"{f'{most:5.0f} dB' if row == ROWS - 1 else f'{least:5.0f} dB' if not row else '':8} "
        + "".join(BLOCKS[min(max(height - 8 * row, 0), 8)] for height in heights)
        for row in range(ROWS - 1, -1, -1)
    ]
    return [*rows, " " * 9 + _axis([hz for hz, _ in shown]) + " Hz"]


def _axis(freqs_hz: Sequence[float]) -> str:
    """Label every fifth hertz where it is."""
    line = [" "] * len(freqs_hz)
    for i, hz in enumerate(freqs_hz):
        label = f"{hz:.0f}"
        if abs(hz % 5.0) < 1e-6 and i + len(label) <= len(line):
            line[i : i + len(label)] = label
    return "".join(line).rstrip()


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
