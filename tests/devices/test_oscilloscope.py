from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.emulators.electrodes import Electrodes, parse_contact
from devices.emulators.oscilloscope import Oscilloscope, encode_block, read_sidecar, sidecar_path
from tacs.errors import InputError, RecordError
from tests.devices.bench import RIG


@given(st.lists(st.lists(st.integers(-999_999, 999_999), min_size=2, max_size=2), min_size=1))
def test_text_is_what_python_would_write(rows: list[list[int]]) -> None:
    currents_ma = np.array(rows, dtype=float).T / 10_000
    expected = "".join("\t".join(f"{step / 10_000:.4f}" for step in row) + "\n" for row in rows)
    assert encode_block(currents_ma).decode() == expected


def readable(path: Path) -> list[bytes]:
    """The lines that can be read of a file that is still being written."""
    return zlib.decompressobj(wbits=31).decompress(path.read_bytes()).splitlines()


def test_blocks_are_written_when_they_are_complete(tmp_path: Path) -> None:
    asked: list[tuple[float, float]] = []

    def source(times_s: np.ndarray) -> np.ndarray:
        asked.append((float(times_s[0]), float(times_s[-1])))
        return np.array([times_s / 1000.0, -times_s / 1000.0])

    path = tmp_path / "sub" / "current.tsv.gz"
    scope = Oscilloscope(path, ["Oz", "Cz"], 50.0, source)
    scope.run_to(59.999)
    assert asked == []
    scope.run_to(60.0)
    assert asked == [(50.0, 59.999)]  # never the present instant, which may still change
    assert read_sidecar(path).n_samples == 10_000
    assert not read_sidecar(path).clean
    assert len(readable(path)) == 10_000  # on disk already
    info = scope.close(72.5, clean=True)
    assert scope.close(99.0, clean=False) == info
    assert info == read_sidecar(path)
    assert (info.n_samples, info.start_s, info.columns) == (22_500, 50.0, ("Oz", "Cz"))
    assert read_sidecar(path).clean
    rows = gzip.decompress(path.read_bytes()).splitlines()
    assert len(rows) == 22_500
    assert rows[0] == b"0.0500\t-0.0500"
    assert rows[-1] == b"0.0725\t-0.0725"


def test_the_same_samples_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        scope = Oscilloscope(tmp_path / f"{name}.tsv.gz", ["Oz"], 0.0, lambda t: np.sin(t)[None])
        scope.close(12.0, clean=True)
    assert (tmp_path / "a.tsv.gz").read_bytes() == (tmp_path / "b.tsv.gz").read_bytes()


def test_traces_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        Oscilloscope(tmp_path, ["Oz"], 0.0, lambda t: t[None])
    trace = tmp_path / "x.tsv.gz"
    with pytest.raises(RecordError, match="not the description"):
        read_sidecar(trace)
    sidecar_path(trace).write_text(json.dumps({"columns": ["Oz"]}))
    with pytest.raises(RecordError, match="sampling_frequency_hz"):
        read_sidecar(trace)


TIMES_S = np.arange(1000) / 1000.0


def test_a_stimulator_gives_gain_times_volts_until_it_runs_out_of_voltage() -> None:
    electrodes = Electrodes(RIG, ["Oz=5", "Cz=10"], 0.0)
    volts = {1: np.linspace(-3.0, 3.0, 1000)}
    oz, cz = electrodes.currents_ma(TIMES_S, volts)
    limit_ma = 60.0 / 15.0
    np.testing.assert_allclose(oz, np.clip(2.0 * volts[1], -limit_ma, limit_ma))
    np.testing.assert_array_equal(oz + cz, 0.0)


def test_loops_that_are_not_attached_carry_nothing_and_shared_contacts_sum() -> None:
    electrodes = Electrodes(RIG, ["Cz", "F3", "Oz"], 0.0)
    assert electrodes.generator_outputs == (1, 2)
    ones = np.ones(1000)
    cz, f3, oz = electrodes.currents_ma(TIMES_S, {1: 0.5 * ones, 2: 0.25 * ones})
    assert (cz[0], f3[0], oz[0]) == (-1.5, 0.5, 1.0)


def test_changes_hold_from_their_instant_on() -> None:
    electrodes = Electrodes(RIG, ["Oz", "Cz"], 0.0)
    electrodes.set_gain_factor(1.5, 0.2)
    electrodes.set_offset(0.1, 0.4)
    electrodes.set_impedance("Oz", 115.0, 0.6)  # 60 V over 120 kΩ: half a milliampere
    electrodes.detach("Cz", 0.8)
    oz, _ = electrodes.currents_ma(TIMES_S, {1: np.full(1000, 0.5)})
    np.testing.assert_allclose(oz[[100, 300, 500, 700, 900]], [1.0, 1.5, 1.6, 0.5, 0.0])
    assert oz[199] == 1.0
    assert oz[200] == 1.5


@pytest.mark.parametrize("text", ["Oz=0", "Oz=-1", "Oz=nan", "Oz=much", "=5", ""])
def test_contacts_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="NAME=KOHM"):
        parse_contact(text)


def test_contacts_that_the_rig_does_not_have() -> None:
    with pytest.raises(InputError, match="not in rig"):
        Electrodes(RIG, ["Oz", "P9"], 0.0)
    with pytest.raises(InputError, match="twice"):
        Electrodes(RIG, ["Oz", "Oz=7"], 0.0)
    with pytest.raises(InputError, match="at least one"):
        Electrodes(RIG, [], 0.0)
    with pytest.raises(InputError, match="not attached"):
        Electrodes(RIG, ["Oz", "Cz"], 0.0).detach("F3", 1.0)
