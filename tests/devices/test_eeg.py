"""The contract of every live source, and those that replay: a recording, a file, a patient."""

from __future__ import annotations

import math
from pathlib import Path

import mne
import numpy as np
import pytest

from devices.delivered import DeliveredCurrent, sine_current
from devices.eeg import EEGInfo, EEGSource, Pulled, channel_rows, microvolts_per
from devices.eeg_patient import PatientEEG
from devices.eeg_replay import FileEEG, RawEEG
from devices.patient import VirtualPatient
from devices.truth import PatientTruth
from tacs.clock import MonotonicClock, VirtualClock
from tacs.errors import InputError, LinkLost

RATE_HZ = 250.0


def raw_of(seconds: float = 4.0) -> mne.io.RawArray:
    """Channels whose microvolts are the number of the sample, and twice that; and a trigger."""
    ramp = np.arange(round(seconds * RATE_HZ), dtype=np.float64)
    info = mne.create_info(["Oz", "Cz", "STI"], RATE_HZ, ["eeg", "eeg", "stim"])
    return mne.io.RawArray(np.stack([ramp * 1e-6, 2e-6 * ramp, 0 * ramp]), info, verbose="ERROR")


def blocks_of(source: EEGSource, n: int) -> list:
    found = []
    while sum(map(len, found)) < n:
        found.append(source.read(1.0))
    return found


@pytest.mark.parametrize(
    ("unit", "uv"),
    [
        *[(unit, 1e6) for unit in ("V", "volts", "0", " Volt ")],
        *[(unit, 1e3) for unit in ("mV", "-3")],
        *[(unit, 1.0) for unit in ("uV", "µV", "μV", "microvolts", "-6")],
        *[(unit, 1e-3) for unit in ("nV", "nanovolts", "-9")],
    ],
)
def test_units(unit: str, uv: float) -> None:
    assert microvolts_per(unit) == uv


@pytest.mark.parametrize("unit", ["", "none", "T", "counts", "6"])
def test_no_unit_is_guessed(unit: str) -> None:
    with pytest.raises(InputError, match="write V, mV, µV or nV"):
        microvolts_per(unit)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": ()}, "no EEG channels"),
        ({"channels": ("Oz", "Oz")}, "two of one name"),
        ({"sfreq_hz": 0.0}, "no rate"),
        ({"sfreq_hz": math.nan}, "no rate"),
        ({"uv_per_unit": (1.0,)}, "worth"),
        ({"uv_per_unit": (1.0, math.nan)}, "worth"),
    ],
)
def test_what_no_source_can_give(changes: dict, message: str) -> None:
    good = {"source": "x", "channels": ("Oz", "Cz"), "sfreq_hz": 250.0, "uv_per_unit": (1.0, 1.0)}
    EEGInfo(**good)
    with pytest.raises(InputError, match=message):
        EEGInfo(**{**good, **changes})


def test_channels_by_name() -> None:
    assert channel_rows("x", ["Oz", "Cz"], None) == [0, 1]
    assert channel_rows("x", ["Oz", "Cz"], ["Cz"]) == [1]
    with pytest.raises(InputError, match="x: no channel Pz; there are Oz, Cz"):
        channel_rows("x", ["Oz", "Cz"], ["Pz"])


def test_a_recording_comes_as_time_goes_on() -> None:
    clock = VirtualClock(50.0)
    source = RawEEG(raw_of(), clock)
    with pytest.raises(InputError, match="open the EEG source"):
        source.read()
    with pytest.raises(InputError, match="open the EEG source"):
        _ = source.timing
    info = source.open()
    assert source.open() is info
    assert info.channels == ("Oz", "Cz")
    assert info.left_out == ("STI",)
    assert len(source.read()) == 1  # the first sample is due at once
    assert len(source.read()) == 0
    clock.wait(50.0 + 99.5 / RATE_HZ)
    block = source.read()
    assert (len(block), block.first, block.missing, block.restarted) == (99, 1, 0, False)
    np.testing.assert_allclose(block.signal_uv, [np.arange(1, 100), 2 * np.arange(1, 100)])
    np.testing.assert_allclose(block.times_s, 50.0 + np.arange(1, 100) / RATE_HZ, atol=1e-9)
    assert len(source.read(timeout_s=0.1)) == 1  # waits for the next one, and no longer
    assert clock.now_s() == pytest.approx(50.0 + 100 / RATE_HZ)


def test_a_recording_is_over() -> None:
    clock = VirtualClock()
    with RawEEG(raw_of(1.0), clock) as source:
        clock.wait(5.0)
        assert len(source.read()) == 250
        with pytest.raises(LinkLost, match="recording: it is over"):
            source.read()
    with pytest.raises(LinkLost, match="closed"):
        source.read()


def test_a_recording_that_begins_anew() -> None:
    clock = VirtualClock()
    source = RawEEG(raw_of(1.0), clock, loops=True, channels=["Cz"])
    source.open()
    clock.wait(2.5)
    block = source.read()
    assert len(block) == 626
    np.testing.assert_allclose(block.signal_uv[0, [0, 249, 250, 625]], [0, 498, 0, 250])


def test_chunks_come_whole() -> None:
    clock = VirtualClock()
    source = RawEEG(raw_of(), clock, chunk=10)
    source.open()
    clock.wait(8.9 / RATE_HZ)
    assert len(source.read()) == 0
    assert len(source.read(1.0)) == 10
    assert clock.now_s() == pytest.approx(9 / RATE_HZ)
    assert source.timing.delay_s == pytest.approx(0.0, abs=1e-9)


def test_dropouts_are_gaps_and_make_it_stale() -> None:
    clock = VirtualClock()
    source = RawEEG(raw_of(8.0), clock, drops=[(3.0, 0.1), (5.0, 2.0)], stale_after_s=0.5)
    source.open()
    assert source.stale
    seen = []
    while clock.now_s() < 7.9:
        clock.wait(clock.now_s() + 0.02)
        seen.append((clock.now_s(), source.read(), source.stale, source.timing.age_s))
    gaps = [(block.first, block.missing) for _, block, _, _ in seen if block.missing]
    assert gaps == [(775, 25), (1750, 500)]
    stale_s = [now_s for now_s, _, stale, _ in seen if stale]
    assert (min(stale_s), max(stale_s)) == pytest.approx((5.5, 6.98), abs=0.021)
    assert max(age_s for *_, age_s in seen) == pytest.approx(2.0, abs=0.03)
    timing = source.timing
    assert (timing.n_gaps, timing.n_missing) == (2, 525)
    assert timing.gaps[1].at_s == pytest.approx(5.0, abs=1e-6)
    assert timing.clock_offset_s is None
    assert not timing.offset_has_delay


def test_a_gap_in_what_has_waited_parts_the_blocks() -> None:
    clock = VirtualClock()
    source = RawEEG(raw_of(), clock, drops=[(3.0, 0.2)])
    source.open()
    clock.wait(2.5)
    source.read()
    clock.wait(3.5)
    before, after = source.read(), source.read()
    np.testing.assert_allclose(before.signal_uv[0], np.arange(626, 750))
    np.testing.assert_allclose(after.signal_uv[0], np.arange(800, 876))
    assert (after.first, after.missing) == (800, 50)


def test_a_clock_that_runs_fast_is_measured() -> None:
    clock = VirtualClock()
    source = RawEEG(raw_of(), clock, loops=True, clock_ppm=120.0)
    source.open()
    assert math.isnan(source.timing.drift_ppm)
    for _ in range(1500):
        clock.wait(clock.now_s() + 0.04)
        source.read()
    assert source.timing.drift_ppm == pytest.approx(120.0, abs=0.5)
    assert source.timing.measured_hz == pytest.approx(250.03, abs=1e-4)


def test_what_was_skipped_in_a_recording_is_missing() -> None:
    raw = raw_of()
    raw.set_annotations(mne.Annotations([3.0, 1.0], [0.2, 0.5], ["BAD_ACQ_SKIP", "BAD blink"]))
    clock = VirtualClock()
    source = RawEEG(raw, clock)
    source.open()
    blocks = []
    while len(blocks) < 90:
        clock.wait(clock.now_s() + 0.04)
        blocks.append(source.read())
    assert [(b.first, b.missing) for b in blocks if b.missing] == [(800, 50)]


@pytest.mark.parametrize(
    "options",
    [
        {"drops": [(-1.0, 1.0)]},
        {"drops": [(1.0, 0.0)]},
        {"drops": [(math.nan, 1.0)]},
        {"drops": [(1.0, math.inf)]},
        {"clock_ppm": math.nan},
        {"chunk": 0},
        {"chunk": True},
        {"stale_after_s": 0.0},
        {"stale_after_s": math.nan},
        {"channels": ["Pz"]},
    ],
)
def test_options_that_cannot_be(options: dict) -> None:
    with pytest.raises(InputError):
        RawEEG(raw_of(), VirtualClock(), **options)


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rest_raw.fif"
    raw_of().save(path, verbose="ERROR")
    clock = VirtualClock()
    with FileEEG(path, clock) as source:
        clock.wait(1.0)
        block = source.read()
    assert source.info.source == "file rest_raw.fif"
    np.testing.assert_allclose(block.signal_uv[1], 2.0 * np.arange(251), rtol=1e-5)


@pytest.mark.parametrize("name", ["nothing.edf", "text.edf", "notes.txt"])
def test_a_file_that_is_none(tmp_path: Path, name: str) -> None:
    if name != "nothing.edf":
        (tmp_path / name).write_text("no EEG at all")
    with pytest.raises(InputError, match=f"{name}: cannot be read") as refusal:
        FileEEG(tmp_path / name, VirtualClock())
    assert "\n" not in str(refusal.value)


def test_a_patient_gives_what_a_recording_of_it_would() -> None:
    truth = PatientTruth.draw(3)
    clock = VirtualClock(7.0)
    source = PatientEEG(VirtualPatient(truth, 3), clock, chunk=50)
    source.open()
    pieces = [block.signal_uv for block in blocks_of(source, 1500)]
    expected = VirtualPatient(truth, 3).record(6.0).get_data() * 1e6
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), expected, rtol=1e-9, atol=1e-9)
    assert source.info.channels == VirtualPatient(truth, 3).channels


def test_a_patient_hears_the_current_between_two_instants() -> None:
    asked: list[tuple[float, float]] = []

    def current(from_s: float, to_s: float) -> DeliveredCurrent | None:
        asked.append((from_s, to_s))
        if from_s < 12.0:
            return None
        return sine_current(to_s - from_s, 1.0, 10.0, electrodes={"Oz": 1.0, "Cz": -1.0})

    clock = VirtualClock(10.0)
    patient = VirtualPatient(PatientTruth.draw(3), 3)
    source = PatientEEG(patient, clock, current=current, chunk=250)
    source.open()
    quiet, quieter, loud = (block.signal_uv for block in blocks_of(source, 750))
    np.testing.assert_allclose(asked, [(10, 11), (11, 12), (12, 13)], atol=1e-9)
    assert np.ptp(loud) > 5.0 * np.ptp(quiet)
    assert np.ptp(quieter) < 2.0 * np.ptp(quiet)
    assert [recording.under_current for recording in patient.recordings] == [False, False, True]


def test_a_source_that_waits_on_the_machines_clock() -> None:
    source = RawEEG(raw_of(1.0), MonotonicClock())
    source.open()
    assert sum(map(len, blocks_of(source, 5))) >= 5


def test_a_channel_that_is_no_number_stays_so() -> None:
    class Odd(EEGSource):
        def _open(self) -> EEGInfo:
            return EEGInfo(
                source="odd", channels=("A", "B"), sfreq_hz=10.0, uv_per_unit=(1e3, 1e-3)
            )

        def _pull(self, timeout_s: float) -> Pulled:
            return Pulled(samples=np.array([[1, np.nan], [2, 5.0]]), stamps_s=np.array([0.0, 0.1]))

        def _close(self) -> None: ...

    with Odd(VirtualClock(0.1)) as source:
        block = source.read()
    np.testing.assert_array_equal(block.signal_uv, [[1000.0, 2000.0], [np.nan, 0.005]])
    assert source.age_s == pytest.approx(0.0)


class OtherClock(EEGSource):
    """A source stamped by another computer, whose offset is whatever it is told."""

    has_own_clock = True

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.offset_s = 500.0
        self.sent = 0

    def _open(self) -> EEGInfo:
        return EEGInfo(source="far", channels=("A",), sfreq_hz=100.0, uv_per_unit=(1.0,))

    def _pull(self, timeout_s: float) -> Pulled:
        index = self.sent + np.arange(100)
        self.sent += 100
        return Pulled(
            samples=index[:, None], stamps_s=index / 100.0 - 500.0, offset_s=self.offset_s
        )

    def _close(self) -> None: ...


def test_another_computers_clock_is_followed_without_a_step_back() -> None:
    source = OtherClock(VirtualClock())
    source.open()
    times_s = []
    for second in range(120):
        source.offset_s = 500.0 + 50e-6 * second - 0.01 * (second >= 100)
        block = source.read()
        assert not block.restarted
        times_s.append(block.times_s)
        drift = source.timing.clock_drift_ppm
        assert math.isnan(drift) if second < 60 else (second >= 100 or abs(drift - 50.0) < 1e-3)
    joined_s = np.concatenate(times_s)
    assert (np.diff(joined_s) > 0.0).all()
    assert source.timing.clock_offset_s == pytest.approx(500.0 + 50e-6 * 119 - 0.01)
    assert joined_s[-1] == pytest.approx(119.99 + 50e-6 * 119 - 0.01, abs=1e-6)
    assert source.timing.n_gaps == 0  # another offset is no gap


def test_a_clock_that_was_set_is_said() -> None:
    source = OtherClock(VirtualClock())
    source.open()
    source.read()
    source.offset_s += 3.0
    block = source.read()
    assert block.restarted
    assert block.missing == 0
    assert block.times_s[0] == pytest.approx(4.0)
    assert not source.read().restarted
