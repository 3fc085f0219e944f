"""A session that had more than one frequency is nowhere told with one, wherever it ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tacs import closing
from tacs.clock import QueueInbox, utc_now
from tacs.dataset import SessionPaths
from tacs.dose import Delivered
from tacs.errors import InputError
from tacs.export_checklist import fill_checklist
from tacs.export_nibs import export_nibs
from tacs.frequencies import several_in_words, several_of, tunings
from tacs.ledger import Ledger
from tacs.record import Line, read_record
from tacs.recovery import recover
from tacs.report_current import current_section
from tacs.report_record import RecordView
from tacs.report_summary import summary
from tacs.run_record import RunRecord
from tacs.runner import run
from tacs.tables import read_table
from tests.tacs.made import protocol

TOLD = "several frequencies (10.27, 10.6 Hz)"


def session(folder: Path, plan: Any, *script: tuple[float, str]) -> RunRecord:
    return run(
        plan, "emulated:synthpal", subject="P01", session="01", dataset=folder / "data",
        clock="virtual", inbox=QueueInbox(script),
    )  # fmt: skip


def retune(at_s: float, frequency_hz: float) -> tuple[float, str]:
    return at_s, f'retune:{{"frequency_hz": {frequency_hz}}}'


@pytest.fixture
def returned(tmp_path: Path) -> RunRecord:
    """Twelve seconds at another frequency in between, and back."""
    plan = protocol(duration_s=70.0, retune={"within_hz": 1.0})
    return session(tmp_path, plan, retune(35.0, 10.6), retune(47.0, 10.27))


def test_a_session_that_went_back_to_its_frequency_had_two(returned: RunRecord):
    assert returned.delivered is not None
    got = returned.delivered.to_dict()
    assert (got["source"], got["frequency_hz"]) == ("measured", None)
    assert got["frequencies_hz"] == [10.27, 10.6]
    lines, _ = read_record(returned.record)
    end = lines[-1].data
    for told in (end["delivered"], end["commanded"]):
        assert (told["frequency_hz"], told["frequencies_hz"]) == (None, [10.27, 10.6])
    assert Delivered.from_dict(end["delivered"]).frequencies_hz == (10.27, 10.6)
    assert [hz for _, hz in tunings(lines)] == [10.27, 10.6, 10.27]


def test_reports_tables_and_exports_tell_several(returned: RunRecord, tmp_path: Path):
    paths = SessionPaths.of(tmp_path / "data", "P01", "01")
    view = RecordView(paths.record)
    section = current_section(paths, view)
    rows = {row.what: (row.commanded, row.delivered) for row in section.dose if row.unit == "Hz"}
    assert rows == {
        "Frequency, lowest of several": (10.27, None),
        "Frequency, highest of several": (10.6, None),
    }
    assert f"zero-to-peak at {TOLD}" in dict(summary(view, section, None, None))["Delivered"]
    # The close-up is of one frequency: the longest stretch, that at 10.6 Hz.
    assert view.commanded is not None
    assert view.hold_s == pytest.approx((35.0, 47.0), abs=0.2)
    assert view.commanded.frequency_at(40.0) == 10.6
    assert "10.600" in section.pictures[-1].alt
    assert returned.trace is not None
    sidecar = json.loads(returned.trace.with_name(returned.trace.name[:-7] + ".json").read_text())
    assert sidecar["ElectricalStimulationParameters"].endswith(f"; played at {TOLD}")
    export_nibs(tmp_path / "data", tmp_path / "out")
    _, (row,) = read_table(next((tmp_path / "out").rglob("*_nibs.tsv")))
    assert (row["frequency"], row["stimulus_shape"]) == ("n/a", "Custom")
    assert row["stimulus_description"].endswith(f"; played at {TOLD}")
    made = fill_checklist(tmp_path / "data", "P01", "01", "rates")
    assert f"{TOLD}; planned 10.27 Hz" in [item.answer for item in made.items]


def test_a_retuned_session_without_its_end_is_recovered_with_both(
    returned: RunRecord, tmp_path: Path, site_folder: Path
):
    content = returned.record.read_bytes().splitlines(keepends=True)
    returned.record.write_bytes(b"".join(content[:-1]))
    for path in site_folder.glob("*"):
        if path.is_file():
            path.unlink()
    (closed,) = recover(tmp_path / "data")
    assert closed.delivered is not None
    assert (closed.delivered.frequency_hz, closed.delivered.source) == (None, "upper bound")
    assert closed.delivered.frequencies_hz == (10.27, 10.6)


def test_a_record_that_cannot_be_read_ends_no_closing_and_tells_no_frequency(
    tmp_path: Path, site_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def refused(path: Path, **_: object) -> None:
        raise InputError(f"{path}: cannot be read (Input/output error)")

    monkeypatch.setattr(closing, "read_record", refused)
    found = session(tmp_path, protocol(duration_s=60.0, retune={"within_hz": 1.0}))
    assert (found.outcome, found.delivered and found.delivered.frequency_hz) == ("done", None)
    assert any("which frequencies there were is not known" in x for x in found.warnings)
    booked = Ledger(site_folder, emulated=True).history("P01", utc_now())
    assert booked.current_on_24h_min == pytest.approx(1.0, abs=0.1)


def test_a_sweep_tells_its_frequencies(tmp_path: Path):
    trains = {"on_s": 2.0, "off_s": 1.5, "edge_s": 0.5, "settle_s": 10.0,
              "steps": [{"frequency_hz": 9.0}, {"frequency_hz": 11.0}]}  # fmt: skip
    got = session(tmp_path, protocol(duration_s=70.0, trains={**trains, "count": 3})).delivered
    assert got is not None
    assert (got.frequency_hz, got.frequencies_hz) == (None, (10.27, 9.0, 11.0))


def test_a_frequency_that_never_flowed_is_none_of_them(tmp_path: Path):
    """Retuned between trains, after the last one: the trace has one frequency, and says it."""
    trains = {"on_s": 2.0, "off_s": 1.5, "edge_s": 0.5, "settle_s": 10.0, "count": 1}
    plan = protocol(duration_s=70.0, trains=trains, retune={"within_hz": 1.0})
    got = session(tmp_path, plan, retune(46.0, 10.6)).delivered
    assert got is not None
    assert got.frequency_hz == pytest.approx(10.27, abs=0.005)
    assert got.frequencies_hz == ()


def lines_of(*steps: tuple[str, str, float]) -> list[Line]:
    return [
        Line(n, float(n), "", kind, {"verb": verb, "level" if verb == "set_level" else
                                     "frequency_hz": value}, "")
        for n, (kind, verb, value) in enumerate(steps)
    ]  # fmt: skip


START = (("answer", "configure", 10.0), ("intent", "start", 0.0), ("intent", "set_level", 0.5))


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ((), [(2.0, 10.0)]),
        # What the device made of it takes the place of what was sent ...
        ((("intent", "set_frequency", 11.0), ("answer", "set_frequency", 10.9)),
         [(2.0, 10.0), (4.0, 10.9)]),
        # ... also where that is the one before ...
        ((("intent", "set_frequency", 11.0), ("answer", "set_frequency", 10.0)), [(2.0, 10.0)]),
        # ... or another one than what had flowed, though the same was sent.
        ((("intent", "set_frequency", 10.0), ("answer", "set_frequency", 9.9)),
         [(2.0, 10.0), (4.0, 9.9)]),
        # Without an answer nobody knows: it counts.
        ((("intent", "set_frequency", 11.0),), [(2.0, 10.0), (3.0, 11.0)]),
        # At zero, from the next current on.
        ((("intent", "set_level", 0.0), ("intent", "set_frequency", 11.0),
          ("answer", "set_frequency", 11.0), ("intent", "set_frequency", 12.0),
          ("answer", "set_frequency", 12.0), ("intent", "set_level", 0.1)),
         [(2.0, 10.0), (8.0, 12.0)]),
        ((("intent", "soft_stop", 0.0), ("intent", "set_frequency", 11.0)), [(2.0, 10.0)]),
    ],
)  # fmt: skip
def test_when_which_frequency_flowed(
    more: tuple[tuple[str, str, float], ...], found: list[tuple[float, float]]
):
    lines = lines_of(*START, *more)
    assert tunings(lines) == found
    several = tuple(dict.fromkeys(hz for _, hz in found))
    assert several_of(lines) == (several if len(several) > 1 else ())


def test_one_frequency_has_no_words():
    assert several_in_words(()) == ""
    assert several_in_words((9.5, 10.123456789)) == "several frequencies (9.5, 10.1235 Hz)"
