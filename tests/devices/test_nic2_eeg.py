"""NIC's EEG stream: which bytes are which, told from the data, or refused."""

from __future__ import annotations

import contextlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.emulators.nic2_bench import Nic2Bench
from devices.emulators.nic2_eeg import EegStream
from devices.emulators.sine_output import SineOutput
from devices.nic2_eeg import EegReader, Layout, find_layout
from devices.transport import MemoryTransport
from tacs.clock import MonotonicClock, VirtualClock
from tacs.errors import DeviceNotFound, InputError, LinkLost, NoAnswer
from tests.devices.nic2_bench import RIG

ORDERS = ("little", "big")
YES_NO = (False, True)


def stream(seconds: float = 2.0, n_channels: int = 8, **options) -> bytes:
    outputs = [SineOutput(0.0) for _ in range(n_channels)]
    return EegStream(outputs, 0.0, lambda now_s: None, **options).take(seconds)


@pytest.mark.parametrize(("order", "trigger", "stamp"), list(product(ORDERS, YES_NO, YES_NO)))
def test_every_layout_is_found(order: str, trigger: bool, stamp: bool) -> None:
    data = stream(byte_order=order, trigger=trigger, timestamp=stamp)
    found = find_layout(data, 8)
    assert found.layout == Layout(n_channels=8, byte_order=order, trigger=trigger, timestamp=stamp)
    assert len(data) == 1000 * found.layout.size
    assert found.confidence > 5.0


def test_the_numbers_come_through() -> None:
    layout = Layout(n_channels=2, byte_order="big", trigger=True, timestamp=True)
    data = bytes.fromhex("00000001 ffffffff 00000007 0000018bcfe56800".replace(" ", ""))
    block = layout.decode(2 * data + b"\x00")
    assert block.counts.tolist() == [[1, -1], [1, -1]]
    assert block.triggers is not None
    assert block.triggers.tolist() == [7, 7]
    assert block.timestamps is not None
    assert block.timestamps[0] == 1_700_000_000_000


def sine(hz: float, order: str, amplitude: float = 30.0, noise: float = 0.0) -> bytes:
    t = np.arange(1000) / 500.0
    rng = np.random.default_rng(5)
    one = amplitude * np.sin(2 * np.pi * hz * t)[:, None] + noise * rng.standard_normal((1000, 8))
    return np.rint(one).astype("<i4" if order == "little" else ">i4").tobytes()


@pytest.mark.parametrize("order", ORDERS)
def test_a_known_sine_decides(order: str) -> None:
    data = sine(11.0, order, amplitude=2000.0, noise=500.0)
    found = find_layout(data, 8, known_sine_hz=11.0)
    assert found.layout.byte_order == order
    assert not found.layout.trigger
    assert found.score == pytest.approx(0.11, abs=0.03)


def test_a_fast_known_sine_decides_where_smoothness_cannot() -> None:
    data = sine(180.0, "big", amplitude=2000.0)
    with pytest.raises(NoAnswer, match="feed a known sine"):
        find_layout(data, 8)
    assert find_layout(data, 8, known_sine_hz=180.0).layout.byte_order == "big"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "too few or all the same"),
        (bytes(44 * 400), "too few or all the same"),
        (bytes(44 * 1000), "too few or all the same"),
        (np.random.default_rng(1).bytes(44 * 1000), "no reading of the bytes stands out"),
    ],
)
def test_data_that_do_not_decide_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(NoAnswer, match=message):
        find_layout(data, 8)


def test_another_sine_than_was_said_is_refused() -> None:
    with pytest.raises(NoAnswer, match="no reading"):
        find_layout(sine(11.0, "little", 2000.0), 8, known_sine_hz=13.0)


def test_inputs_that_cannot_be() -> None:
    with pytest.raises(InputError, match="0 EEG channels"):
        find_layout(b"", 0)
    with pytest.raises(InputError, match="cannot be seen at 500"):
        find_layout(b"", 8, known_sine_hz=250.0)


@given(st.binary(max_size=4000), st.integers(1, 4), st.sampled_from([None, 10.0]))
def test_no_bytes_break_it(data: bytes, n_channels: int, hz: float | None) -> None:
    with contextlib.suppress(NoAnswer):
        assert find_layout(data, n_channels, known_sine_hz=hz).confidence >= 3.0


def test_reading_a_stream_with_its_artefact(tmp_path: Path) -> None:
    clock = VirtualClock(10.0)
    bench = Nic2Bench(RIG, ["Oz", "Cz"], None, [], clock.now_s())
    reader = EegReader(MemoryTransport(bench.eeg(clock.now_s()), clock), 8)
    with pytest.raises(InputError, match="begin the EEG stream"):
        reader.read(1)
    found = reader.begin()
    assert found.layout.size == 44
    quiet = reader.read(1000)
    assert quiet.timestamps is not None
    assert np.all(np.diff(quiet.timestamps) == 2)
    spectrum = np.abs(np.fft.rfft(quiet.counts[:, 0] - quiet.counts[:, 0].mean()))
    assert np.argmax(spectrum) == 20  # 10 Hz in 2 s
    bench.firmware.outputs[0].retune(7.0, clock.now_s())
    bench.firmware.outputs[0].move_to(1.0, 0.0, clock.now_s())
    loud = reader.read(1000)
    assert np.ptp(loud.counts[500:, 0]) > 30e6
    assert np.ptp(loud.counts[500:, 1]) < 1e6
    reader.close()
    with pytest.raises(LinkLost):
        reader.read(1000)


def test_a_stream_that_falls_silent() -> None:
    clock = VirtualClock()
    source = EegStream([SineOutput(0.0)] * 4, 0.0, lambda now_s: None)
    reader = EegReader(MemoryTransport(source, clock), 4)
    reader.begin()
    source.take = lambda now_s: b""  # type: ignore[method-assign]
    source.next_due_s = lambda: None  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(LinkLost, match="fell silent"):
        reader.read(100_000)


def test_nobody_there() -> None:
    with pytest.raises(DeviceNotFound):
        EegReader.open("socket://127.0.0.1:1", 8, MonotonicClock())
