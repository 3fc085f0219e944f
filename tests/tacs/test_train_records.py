"""What stays of a session with trains: dose, record, report, and a bound after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tacs import recovery
from tacs.clock import utc_now
from tacs.dose import Delivered, measure
from tacs.ledger import Ledger
from tacs.record import read_record
from tacs.recovery import LOST_S, recover
from tacs.report_current import current_section
from tacs.report_record import RecordView
from tests.tacs.made import protocol as made_protocol
from tests.tacs.test_recovery import (
    LEASE_S,
    MEAN_PER_PEAK,
    STOP_S,
    Run,
    at_line,
    crashed,
    one_session,
    oscilloscope,
)

RATE_HZ = 1000.0
TRAINED = made_protocol(
    duration_s=30.0,
    ramp_up_s=5.0,
    ramp_down_s=4.0,
    trains={"on_s": 2.0, "off_s": 2.0, "edge_s": 0.5, "settle_s": 10.0, "count": 3},
)


def bursts(*stretches_s: tuple[float, float], mean_ma: float = 0.0) -> np.ndarray:
    """Two electrodes with a sine in each stretch."""
    times_s = np.arange(0.0, 20.0, 1.0 / RATE_HZ)
    on = np.zeros(len(times_s), dtype=bool)
    for from_s, to_s in stretches_s:
        on |= (times_s >= from_s) & (times_s < to_s)
    sine = np.where(on, np.sin(2.0 * np.pi * 10.0 * times_s + 0.01) + mean_ma, 0.0)
    return np.stack([sine, -sine])


def seen(trace: np.ndarray, gap_s: float | None = None) -> Delivered:
    return measure(trace, ("Oz", "Cz"), RATE_HZ, gap_s=gap_s)


def test_gaps_are_no_time_with_current():
    trace = bursts((1.0, 5.0), (7.0, 9.0), (11.0, 13.0))
    got = seen(trace, gap_s=1.0)
    assert (got.bursts, got.span_s) == (3, pytest.approx(12.0, abs=0.002))
    assert got.duration_s == pytest.approx(8.0, abs=0.003)
    whole = seen(trace)
    assert whole.duration_s == pytest.approx(12.0, abs=0.002)
    assert (whole.bursts, whole.span_s) == (None, None)
    assert whole.rectified_charge_c == got.rectified_charge_c
    # A silence that is shorter than a gap is part of a train.
    assert seen(trace, gap_s=2.5).bursts == 1
    assert seen(np.zeros((2, 5000)), gap_s=1.0).bursts == 0


def test_the_frequency_is_that_of_one_train_wherever_the_phase_begins():
    times_s = np.arange(0.0, 20.0, 1.0 / RATE_HZ)
    trace = np.zeros((2, len(times_s)))
    for from_s, to_s, phase in ((1.0, 6.0, 0.3), (8.0, 12.0, 2.0), (14.0, 18.0, 4.4)):
        here = (times_s >= from_s) & (times_s < to_s)
        trace[0, here] = np.sin(2.0 * np.pi * 10.27 * (times_s[here] - from_s) + phase)
    trace[1] = -trace[0]
    assert seen(trace, gap_s=1.0).frequency_hz == pytest.approx(10.27, abs=1e-3)


def test_the_mean_is_over_the_time_with_current():
    got = seen(bursts((1.0, 5.0), (9.0, 13.0), mean_ma=0.02), gap_s=1.0)
    assert got.mean_ma["Oz"] == pytest.approx(0.02, abs=1e-4)


def test_the_json_of_a_dose_names_bursts_only_where_there_are_trains():
    trained, plain = seen(bursts((1.0, 5.0)), gap_s=1.0), seen(bursts((1.0, 5.0)))
    assert {"bursts", "span_s"} <= trained.to_dict().keys()
    assert not {"bursts", "span_s"} & plain.to_dict().keys()
    assert Delivered.from_dict(trained.to_dict()).bursts == 1
    assert Delivered.from_dict(plain.to_dict()).span_s is None


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder, site = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TACS_SITE_DIR", str(site))
        yield one_session(folder, site, TRAINED)


def test_a_record_tells_how_many_trains_there_were(whole: Run):
    end = whole.lines[-1].data
    assert end["trains"] == {"planned": 3, "begun": 3, "refused_requests": 0}
    assert end["delivered"]["bursts"] == 4
    assert end["delivered"]["duration_s"] == pytest.approx(15.5 + 6.0, abs=0.3)
    booked = [line for line in whole.ledger.decode().splitlines() if '"book"' in line]
    assert f'"current_on_s":{end["delivered"]["duration_s"]}' in booked[0].replace(" ", "")


def test_a_report_shows_trains_in_one_line_and_counts_them(whole: Run):
    whole.paths.record.write_bytes(whole.content)
    view = RecordView(whole.paths.record)
    assert view.trains == (3, 3)
    section = current_section(whole.paths, view)
    rows = {row.what: row for row in section.dose}
    assert "From the first to the last current" not in rows
    on = rows["Time with current, without gaps"]
    assert (on.prescribed, on.commanded) == (pytest.approx(21.5), pytest.approx(21.5, abs=0.2))
    begun = rows["Trains begun"]
    assert (begun.prescribed, begun.commanded, begun.delivered) == (3.0, 3.0, 3.0)
    assert rows["Trains to their planned end"].commanded == 3.0
    told = [(s.before, s.after, s.cause.split(",")[0]) for s in section.states]
    assert ("train_fall", "trains", "3 trains") in told
    assert not any(after == "train_on" for _, after, _ in told)
    assert len(section.pictures) == 3


def test_the_bound_holds_for_a_kill_at_every_line_of_trains(whole: Run):
    started = [x for x in whole.lines if x.kind == "intent" and x.data["verb"] == "start"]
    first = whole.lines.index(started[0])
    last = next(i for i, x in enumerate(whole.lines) if x.kind == "end")
    whole_c = whole.charge_c(1e6)
    quiet = np.abs(whole.trace).max(axis=0) < 1e-3
    for n in range(first + 1, last + 1, 3):
        lines = whole.lines[:n]
        t_s = lines[-1].t_s
        bound = recovery._upper_bound(whole.protocol, lines, started)
        plays_on_s = LEASE_S + 0.5 * STOP_S
        killed_c = whole.charge_c(t_s) + whole.level(t_s) * MEAN_PER_PEAK * plays_on_s * 1e-3
        lost_c = whole.charge_c(t_s + LOST_S)
        over_c = (LOST_S + LEASE_S + STOP_S) * MEAN_PER_PEAK * 1e-3
        for name in ("Oz", "Cz"):
            assert bound.rectified_charge_c[name] >= max(killed_c, lost_c), (n, t_s)
            assert bound.rectified_charge_c[name] <= whole.charge_c(t_s) + over_c + 0.1 * whole_c
        # Time with current by then, gaps of a second and more left out, and never too short.
        until = round(t_s * RATE_HZ)
        loud = np.flatnonzero(~quiet[:until])
        gaps_s = np.diff(loud) / RATE_HZ
        on_s = (loud[-1] - loud[0]) / RATE_HZ - gaps_s[gaps_s >= 1.0].sum() if loud.size else 0.0
        assert bound.duration_s >= on_s
        assert bound.duration_s <= t_s - started[0].t_s + LOST_S + LEASE_S + STOP_S + 1e-6
    # Three gaps of two seconds and the silent end are on record: they are not booked.
    assert bound.duration_s < 30.0 + LOST_S + LEASE_S + STOP_S - 3.0


@pytest.mark.parametrize("state", ["train_rise", "train_on", "train_fall", "between_trains"])
@pytest.mark.parametrize("trace", ["none", "clean"])
def test_a_session_killed_in_a_train_or_between_two_is_closed(
    whole: Run, site_folder: Path, monkeypatch: pytest.MonkeyPatch, state: str, trace: str
):
    monkeypatch.setattr(recovery, "SETTLE_S", 0.0)
    seen_n = [i for i, x in enumerate(whole.lines) if x.data.get("to") == state]
    dataset = crashed(whole, site_folder, at_line(whole, seen_n[1] + 4) + 17)
    t_s = read_record(whole.paths.record, allow_torn_tail=True)[0][-1].t_s
    if trace == "clean":
        oscilloscope(whole, 45.0, clean=True)
    (closed,) = recover(dataset)
    assert closed.outcome == "interrupted"
    assert closed.delivered is not None
    assert state in closed.note
    truth_c = whole.charge_c(1e6 if trace == "clean" else t_s)
    assert closed.delivered.rectified_charge_c["Oz"] >= truth_c * (1.0 - 1e-6)
    assert (closed.delivered.source == "measured") == (trace == "clean")
    booked = Ledger(site_folder, emulated=True).history("P01", utc_now())
    assert booked.current_on_24h_min * 60.0 == pytest.approx(closed.delivered.duration_s, abs=1e-3)
