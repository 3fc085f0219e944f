"""NIC's EEG stream as microvolts: what a count is worth, whose clock it keeps, and its faults."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from devices.eeg_nic2 import Nic2EEG
from devices.emulators.nic2 import EmulatedNic2
from devices.emulators.nic2_eeg import EegStream
from devices.emulators.sine_output import SineOutput
from devices.transport import MemoryTransport, Transport
from tacs.clock import MonotonicClock, VirtualClock
from tacs.errors import InputError, LinkLost, NoAnswer
from tacs.rig import shipped_rigs

NAMES = ("Oz", "Cz", "Pz", "Fz")
UV_PER_COUNT = 1e-3  # of the emulated one


def source_of(clock: VirtualClock, **options) -> Nic2EEG:
    """A source at an emulated stream; what begins with an underscore is the stream's."""
    of_stream = {key[1:]: options.pop(key) for key in list(options) if key[0] == "_"}
    sine = of_stream.pop("sine", None)
    outputs = [SineOutput(clock.now_s()) for _ in NAMES]
    if sine is not None:
        for output, uv in zip(outputs, sine[1], strict=True):
            output.retune(sine[0], clock.now_s())
            output.move_to(uv * 1e3 / 20e6, 0.0, clock.now_s())
    stream = EegStream(outputs, clock.now_s(), lambda now_s: None, **of_stream)
    given = {"uv_per_count": UV_PER_COUNT} if "known_sine" not in options else {}
    return Nic2EEG(
        "nic", clock, electrodes=NAMES, transport=MemoryTransport(stream, clock), **given, **options
    )


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("stamped", [True, False])
def test_microvolts_of_alpha(order: str, stamped: bool) -> None:
    clock = VirtualClock(100.0)
    source = source_of(clock, _byte_order=order, _timestamp=stamped)
    info = source.open()
    assert order in info.source
    assert (info.channels, info.sfreq_hz) == (NAMES, 500.0)
    assert info.uv_per_unit == (UV_PER_COUNT,) * 4
    first = source.read()
    assert len(first) >= 1000  # what told the layout is not lost
    assert first.times_s[-1] == pytest.approx(clock.now_s(), abs=0.005)
    signals = []
    for _ in range(40):
        clock.wait(clock.now_s() + 0.1)
        signals.append(source.read().signal_uv)
    signal = np.concatenate(signals, axis=1)
    assert signal.shape == (4, 2000)
    spectrum = np.abs(np.fft.rfft(signal - signal.mean(axis=1, keepdims=True), axis=1))
    assert np.argmax(spectrum, axis=1).tolist() == [40] * 4  # 10 Hz in 4 s
    assert signal.mean() == pytest.approx(3000.0, rel=0.02)  # the offset of its electrodes, 3 mV
    timing = source.timing
    assert timing.n_missing == 0
    assert timing.smallest_gap_s == (0.001 if stamped else math.inf)
    assert (timing.clock_offset_s is not None) is stamped
    assert timing.offset_has_delay is stamped


def test_a_known_sine_tells_the_order_and_what_a_count_is() -> None:
    clock = VirtualClock()
    source = source_of(
        clock, _byte_order="big", _sine=(21.0, [500.0] * 4), known_sine=(21.0, 500.0)
    )
    assert source.open().uv_per_unit == pytest.approx((UV_PER_COUNT,) * 4, rel=0.02)
    assert "big-endian" in source.info.source


def test_a_known_sine_in_some_channels_only_is_refused() -> None:
    source = source_of(
        VirtualClock(), _sine=(21.0, [500.0, 500.0, 500.0, 300.0]), known_sine=(21.0, 500.0)
    )
    with pytest.raises(NoAnswer, match=r"not equally large in all channels .*Fz 29[89]"):
        source.open()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"uv_per_count": 1.0, "known_sine": (10.0, 1.0)},
        {"uv_per_count": 0.0},
        {"uv_per_count": math.nan},
        {"known_sine": (10.0, -1.0)},
    ],
)
def test_what_a_count_is_worth_is_never_guessed(given: dict) -> None:
    with pytest.raises(InputError):
        Nic2EEG("nic", VirtualClock(), electrodes=NAMES, **given)


def test_samples_that_nic_lost_are_missing() -> None:
    clock = VirtualClock()
    source = source_of(clock)
    source.open()
    source.read()
    stream = source._reader._transport._peer
    for second in range(6):
        clock.wait(clock.now_s() + 1.0)
        if second == 4:
            stream.take(clock.now_s())  # lost on their way into NIC
        found = source.read()
    assert found.missing == 500
    assert source.timing.n_missing == 500


def test_a_stream_that_ends() -> None:
    clock = VirtualClock()
    source = source_of(clock)
    source.open()
    source.read()
    clock.wait(clock.now_s() + 1.0)
    assert source.stale
    stream = source._reader._transport._peer
    stream.linked = False
    with pytest.raises(LinkLost):
        source.read()
    source.close()
    source.close()
    with pytest.raises(LinkLost, match="closed"):
        source.read()


class Noise(Transport):
    """Bytes that mean nothing."""

    address = "noise"
    closed = False

    def write(self, data: bytes) -> None: ...

    def read(self, n: int, timeout_s: float) -> bytes:
        return np.random.default_rng(0).bytes(n)

    def discard_input(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def test_noise_is_not_opened() -> None:
    noise = Noise()
    source = Nic2EEG("nic", VirtualClock(), electrodes=NAMES, uv_per_count=1.0, transport=noise)
    with pytest.raises(NoAnswer, match="no reading of the bytes stands out"):
        source.open()
    assert noise.closed


def test_over_tcp_beside_the_remote_control(tmp_path: Path) -> None:
    process = EmulatedNic2().as_process(
        shipped_rigs()["emulated-nic2"], ["Oz", "Cz"], tmp_path / "scope.tsv.gz", [], eeg=True
    )
    clock = MonotonicClock()
    names = [f"E{n}" for n in range(8)]
    try:
        address = process.streams["eeg"]
        with Nic2EEG(address, clock, electrodes=names, uv_per_count=1e-3) as source:
            assert len(source.read(1.0)) >= 500
            found = [source.read(1.0) for _ in range(3)]
            assert all(len(block) for block in found)
            assert source.timing.n_gaps == 0
    finally:
        process.finish()
