"""EEG over the Lab Streaming Layer, from outlets of MNE-LSL on this computer."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import mne
import numpy as np
import pytest

from devices.eeg import Block
from devices.eeg_lsl import LslEEG
from tacs.clock import MonotonicClock, VirtualClock
from tacs.errors import DeviceNotFound, InputError, LinkLost

lsl = pytest.importorskip("mne_lsl.lsl", reason="MNE-LSL is not installed (extra live)")

RATE_HZ = 500.0
NAMES = ("Oz", "Cz", "Fz", "trigger")
COUNT = iter(range(1000))


def outlet_of(
    *,
    name: str = "",
    kind: str = "EEG",
    rate_hz: float = RATE_HZ,
    dtype: str = "float32",
    names: Sequence[str] | None = NAMES,
    kinds: Sequence[str] | None = ("eeg", "EEG", "eeg", "stim"),
    units: Sequence[str] | None = ("microvolts", "mV", "-9", "none"),
) -> Any:
    """An outlet under a name that no other test has."""
    source_id = f"tacs-{os.getpid()}-{next(COUNT)}"
    info = lsl.StreamInfo(name or source_id, kind, 4, rate_hz, dtype, source_id)
    if names is not None:
        info.set_channel_names(list(names))
    if kinds is not None:
        info.set_channel_types(list(kinds))
    if units is not None:
        info.set_channel_units(list(units))
    return lsl.StreamOutlet(info), source_id


@pytest.fixture(scope="module", autouse=True)
def network() -> None:
    """Skip where no stream can be found, not even one of this computer."""
    _sender, source_id = outlet_of()
    if not lsl.resolve_streams(5.0, source_id=source_id, minimum=1):
        pytest.skip("LSL finds no stream of this computer: no network interface is up")


@pytest.fixture
def outlet() -> tuple[Any, str]:
    return outlet_of()


def push(outlet: Any, first: int, n: int, start_s: float, chunk: int = 20) -> None:
    """Send samples that carry their number, stamped by when they were taken."""
    for k in range(first, first + n, chunk):
        index = k + np.arange(min(chunk, first + n - k))
        data = np.outer(index, [1.0, 1.0, 1.0, 0.0]).astype(np.float32)
        outlet.push_chunk(data, timestamp=start_s + index / RATE_HZ)


def blocks_of(source: LslEEG, n: int) -> list[Block]:
    found: list[Block] = []
    for _ in range(200):
        if sum(map(len, found)) >= n:
            return found
        found.append(source.read(1.0))
    raise AssertionError(f"only {sum(map(len, found))} of {n} samples came")


def test_microvolts_on_the_sessions_clock(outlet: tuple[Any, str]) -> None:
    sender, source_id = outlet
    clock = MonotonicClock()
    with LslEEG(clock, source_id=source_id) as source:
        info = source.info
        assert info.channels == ("Oz", "Cz", "Fz")
        assert info.left_out == ("trigger",)
        assert info.uv_per_unit == (1.0, 1e3, 1e-3)
        assert info.sfreq_hz == RATE_HZ
        assert source_id in info.source
        assert len(source.read()) == 0  # does not wait
        looks = [(clock.now_s(), lsl.local_clock(), clock.now_s()) for _ in range(100)]
        before_s, lsl_s, _ = min(looks, key=lambda look: look[2] - look[0])
        ahead_s = lsl_s - before_s
        start_s = lsl.local_clock() - 3.0
        push(sender, 0, 1200, start_s)
        blocks = blocks_of(source, 1200)
        push(sender, 1200, 300, start_s)
        blocks += blocks_of(source, 300)
        signal = np.concatenate([block.signal_uv for block in blocks], axis=1)
        times_s = np.concatenate([block.times_s for block in blocks])
        np.testing.assert_allclose(signal[0], np.arange(1500))
        np.testing.assert_allclose(signal[1:], [1e3 * signal[0], 1e-3 * signal[0]], rtol=1e-6)
        expected_s = start_s - ahead_s + np.arange(1500) / RATE_HZ
        np.testing.assert_allclose(times_s, expected_s, atol=0.002)
        timing = source.timing
        assert timing.n_gaps == 0
        assert timing.jitter_s < 0.001
        assert timing.clock_offset_s == pytest.approx(-ahead_s, abs=0.002)
        assert not timing.offset_has_delay
        assert 0.0 < timing.age_s


def test_gap_and_drift_of_another_computer(outlet: tuple[Any, str]) -> None:
    sender, source_id = outlet
    with LslEEG(MonotonicClock(), source_id=source_id, channels=["Fz"]) as source:
        start_s = lsl.local_clock() - 60.0
        push(sender, 0, 15_000, start_s)
        before = blocks_of(source, 15_000)
        push(sender, 15_250, 15_000, start_s)  # half a second is missing
        after = blocks_of(source, 15_000)
        assert before[0].signal_uv.shape[0] == 1
        assert [(b.first, b.missing) for b in after if b.missing] == [(15_250, 250)]
        assert source.timing.n_missing == 250
        assert source.timing.drift_ppm == pytest.approx(0.0, abs=5.0)


def test_a_sender_that_goes_away_makes_it_stale_not_broken(outlet: tuple[Any, str]) -> None:
    sender, source_id = outlet
    with LslEEG(MonotonicClock(), source_id=source_id, stale_after_s=1e-4) as source:
        push(sender, 0, 100, lsl.local_clock())
        blocks_of(source, 100)
        del sender
        assert len(source.read(0.2)) == 0
    assert source.stale or source.age_s <= 1e-4
    source.close()
    with pytest.raises(LinkLost, match="closed"):
        source.read()


def test_what_the_stream_does_not_say() -> None:
    _sender, source_id = outlet_of(names=None, kinds=None, units=None)
    with pytest.raises(InputError, match=r"channel 1 has no unit; say it"):
        LslEEG(MonotonicClock(), source_id=source_id).open()
    with LslEEG(MonotonicClock(), source_id=source_id, unit="nV") as source:
        assert source.info.channels == ("channel 1", "channel 2", "channel 3", "channel 4")
        assert source.info.uv_per_unit == (1e-3,) * 4


def test_another_unit_than_the_stream_says(outlet: tuple[Any, str]) -> None:
    _sender, source_id = outlet
    with pytest.raises(InputError, match="channel Cz says its unit is 'mV' and 'µV' was given"):
        LslEEG(MonotonicClock(), source_id=source_id, unit="µV").open()


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ({"rate_hz": 0.0}, "no steady rate"),
        ({"dtype": "string"}, "it carries text"),
        ({"kinds": ["aux"] * 4}, "no EEG channels"),
    ],
)
def test_streams_that_are_no_eeg(stream: dict, message: str) -> None:
    _sender, source_id = outlet_of(**stream)
    with pytest.raises(InputError, match=message):
        LslEEG(MonotonicClock(), source_id=source_id).open()


def test_two_streams_of_one_name() -> None:
    name = f"tacs twins {os.getpid()}"
    _one, first_id = outlet_of(name=name)
    _two, second_id = outlet_of(name=name)
    if len(lsl.resolve_streams(5.0, name=name, minimum=2)) < 2:
        pytest.skip("LSL shows one stream of this computer only: multicast does not work here")
    with pytest.raises(InputError, match=r"2 streams .* say which: ") as refusal:
        LslEEG(MonotonicClock(), name=name).open()
    assert f"source_id {first_id!r}" in str(refusal.value)
    assert f"source_id {second_id!r}" in str(refusal.value)


def test_no_such_stream() -> None:
    _sender, source_id = outlet_of(kind="Markers", units=None)
    with pytest.raises(DeviceNotFound, match=rf"no LSL stream .*{source_id}.* \(Markers\)"):
        LslEEG(MonotonicClock(), source_id=source_id, wait_s=0.1).open()


def test_it_needs_real_time_and_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--clock real"):
        LslEEG(VirtualClock()).open()
    monkeypatch.setitem(sys.modules, "mne_lsl.lsl", None)
    with pytest.raises(InputError, match=r"pip install 'tacs-suite\[live\]'") as refusal:
        LslEEG(MonotonicClock()).open()
    assert "\n" not in str(refusal.value)


def test_a_player_of_mne_lsl() -> None:
    """What MNE-LSL's own player sends: volts, stamped ahead in chunks."""
    from mne_lsl.player import PlayerLSL

    rng = np.random.default_rng(0)
    info = mne.create_info(["O1", "O2"], 200.0, "eeg")
    raw = mne.io.RawArray(50e-6 * rng.standard_normal((2, 4000)), info, verbose="ERROR")
    source_id = f"tacs-player-{os.getpid()}"
    player = PlayerLSL(raw, chunk_size=20, name=source_id, source_id=source_id).start()
    try:
        with LslEEG(MonotonicClock(), source_id=source_id) as source:
            assert source.info.uv_per_unit == (1e6, 1e6)
            blocks = blocks_of(source, 100)
            signal = np.concatenate([block.signal_uv for block in blocks], axis=1)
            assert np.std(signal) == pytest.approx(50.0, rel=0.15)
            known = raw.get_data() * 1e6
            starts = np.flatnonzero(np.isclose(known[0], signal[0, 0], atol=1e-6))
            (start,) = starts
            n = min(signal.shape[1], 4000 - int(start))
            np.testing.assert_allclose(signal[:, :n], known[:, start : start + n], atol=1e-6)
    finally:
        player.stop()
