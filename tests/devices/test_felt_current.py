"""A virtual patient feels the current of an emulated device, whichever it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.eeg_named import VIRTUAL
from tacs.clock import VirtualClock
from tacs.dose import read_trace
from tacs.eeg import feel
from tacs.errors import InputError
from tacs.runner import run
from tests.tacs.made import protocol


@pytest.mark.parametrize("device", ["synthpal", "nidaq", "scpi"])
def test_what_is_felt_is_what_the_oscilloscope_sees(tmp_path: Path, device: str):
    clock = VirtualClock()
    felt: list[tuple[float, Any]] = []

    def attach(emulated: Any) -> None:
        def look() -> None:
            begin_s = clock.now_s() - 0.3
            found = emulated.delivered(begin_s, begin_s + 0.3)
            if found is not None:
                felt.append((begin_s, found))
            clock.at(clock.now_s() + 0.3, look)

        clock.at(clock.now_s() + 0.3, look)

    done = run(
        protocol(duration_s=50.0), f"emulated:{device}", subject="a", session="1",
        dataset=tmp_path / "d", clock="virtual", time=clock, attach=attach,
    )  # fmt: skip
    assert done.outcome == "done"
    assert done.trace is not None
    about = json.loads(Path(str(done.trace).replace(".tsv.gz", ".json")).read_text())
    trace = read_trace(done.trace, len(about["Columns"]))
    record = Path(done.record).read_text().splitlines()
    starts = next(json.loads(x) for x in record if '"start"' in x and '"intent"' in x)
    zero_s = json.loads(record[0])["data"]["clock_zero_s"]
    scope_s = zero_s + starts["t_s"] + about["StartTime"]
    assert len(felt) > 150
    assert felt[-1][1].electrodes == tuple(about["Columns"])
    worst = 0.0
    for begin_s, found in felt[3:-5]:
        first = round((begin_s - scope_s) * 1000.0)
        seen = trace[:, first : first + found.n_times]
        worst = max(worst, float(np.abs(seen - found.samples_ma[:, : seen.shape[1]]).max()))
    # Both look at 1 kHz, up to a millisecond apart: 2 pi 10 Hz of 1 mA.
    assert worst < 0.07
    assert max(np.abs(found.samples_ma).max() for _, found in felt) == pytest.approx(1.0, rel=0.02)


def test_a_patient_feels_one_current_and_only_a_patient_does():
    clock = VirtualClock()
    patient = VIRTUAL.make("3", {"sensitivity": "0", "fwhm_hz": "0.5"}, clock)

    class Device:
        def delivered(self, begin_s: float, end_s: float) -> None:
            return None

    assert feel(patient, Device())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="already"):
        feel(patient, Device())  # type: ignore[arg-type]
    assert not feel(object(), Device())  # type: ignore[arg-type]
    assert not feel(VIRTUAL.make("3", {}, clock), object())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no option 'sensitivty'"):
        VIRTUAL.make("3", {"sensitivty": "1"}, clock)
