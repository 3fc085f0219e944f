"""Live EEG in a process of its own: ``python -m tacs.serve.strip_process SOURCE``.

One JSON object a line on standard output: a head with the channels, then blocks of decimated signal
five times a second, with a spectrum every two seconds. It ends when its standard input does.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

SHOWN_HZ = 50.0  # highest frequency of the strip
KEPT_S = 8.0
SPECTRUM_EVERY_S = 2.0
POLL_S = 0.2


def main(arguments: list[str]) -> int:
    """Read a source until it ends or nobody listens."""
    from tacs.clock import MonotonicClock, QueueInbox
    from tacs.eeg import open_source
    from tacs.errors import LinkLost, SourceOver, TacsError

    clock, inbox = MonotonicClock(), QueueInbox()

    def parent_gone() -> None:
        sys.stdin.buffer.read()
        inbox.put("gone")

    threading.Thread(target=parent_gone, daemon=True).start()
    try:
        source = open_source(arguments[0], clock)
        info = source.open()
    except TacsError as exc:
        _say({"error": str(exc)})
        return exc.exit_code
    try:
        _say({"channels": list(info.channels), "sfreq_hz": _shown_hz(info.sfreq_hz)})
        _pass_on(source, info, clock, inbox)
    except SourceOver:
        _say({"error": "the recording that is played is over"})
    except LinkLost as exc:
        _say({"error": str(exc)})
    except BrokenPipeError:
        return 0
    finally:
        source.close()
    return 0


def _step(sfreq_hz: float) -> int:
    return max(1, int(sfreq_hz // (2.0 * SHOWN_HZ)))


def _shown_hz(sfreq_hz: float) -> float:
    return sfreq_hz / _step(sfreq_hz)


def _pass_on(source: Any, info: Any, clock: Any, inbox: Any) -> None:
    import numpy as np
    from scipy.signal import decimate

    from analysis.spectrum import segment_spectra

    step, sfreq_hz = _step(info.sfreq_hz), float(info.sfreq_hz)
    n_channels = len(info.channels)
    kept: Any = np.empty((n_channels, 0))
    fresh = 0
    spectrum_s = clock.now_s()
    while True:
        while len(block := source.read(0.0)):
            kept = np.concatenate([kept, block.signal_uv], axis=1)
            fresh += block.signal_uv.shape[1]
        kept = kept[:, -int(KEPT_S * sfreq_hz) :]
        told: dict[str, Any] = {}
        take = min(fresh // step * step, kept.shape[1] // step * step)
        if take and kept.shape[1] >= 60:
            # With what came before, so that the filter has no edge in what is shown.
            span = min(kept.shape[1] // step * step, take + int(2.0 * sfreq_hz) // step * step)
            signal = kept[:, -span:]
            shown = decimate(signal, step, ftype="fir", axis=1) if step > 1 else signal
            told["samples_uv"] = np.round(shown[:, -(take // step) :], 1).tolist()
            fresh -= take
        now_s = clock.now_s()
        if now_s - spectrum_s >= SPECTRUM_EVERY_S and kept.shape[1] >= 4.0 * sfreq_hz:
            spectrum_s = now_s
            found = segment_spectra(kept, sfreq_hz, window_s=2.0, fmin_hz=2.0, fmax_hz=40.0)
            if len(found.power):
                power = found.mean().mean(axis=0)
                told["spectrum"] = {
                    "freqs_hz": np.round(found.freqs_hz, 3).tolist(),
                    "power_db": np.round(10.0 * np.log10(np.maximum(power, 1e-30)), 2).tolist(),
                }
        if told:
            _say(told)
        if clock.wait(now_s + POLL_S, inbox):
            return


def _say(data: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
