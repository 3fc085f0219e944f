"""Channels under and beside a stimulation electrode: by name, by distance, and said."""

from __future__ import annotations

import pytest

from analysis.electrode_neighbours import touched_channels
from analysis.errors import AnalysisError
from tests.analysis.made_head import S19, S64


def test_the_four_next_electrodes_of_the_10_10_system() -> None:
    found = touched_channels(["F3"], S64)
    assert found.under == ("F3",)
    assert set(found.beside) == {"F1", "F5", "FC3", "AF3"}
    assert set(touched_channels(["Cz"], S64).beside) == {"C1", "C2", "FCz", "CPz"}


def test_every_electrode_has_one_to_four_neighbours() -> None:
    counts = [len(touched_channels([name], S64).beside) for name in S64]
    assert min(counts) >= 1
    assert max(counts) <= 4


def test_a_10_20_cap_loses_the_electrode_alone() -> None:
    for name in S19:
        assert touched_channels([name], S19).channels == (name,)


def test_radius_and_names_of_files() -> None:
    assert touched_channels(["F3"], S64, radius_mm=0.0).channels == ("F3",)
    wide = touched_channels(["F3"], S64, radius_mm=60.0)
    assert {"Fz", "FC1", "FC5"} <= set(wide.beside)
    assert touched_channels(["o1"], ("O1..", "Po7.", "Cz")).channels == ("O1..", "Po7.")
    with pytest.raises(AnalysisError, match="radius_mm"):
        touched_channels(["F3"], S64, radius_mm=-1.0)


def test_what_is_said() -> None:
    (line,) = touched_channels(["O1"], ("O1", "Oz", "Cz")).warnings()
    assert line.startswith("O1 carried current; Oz lies within 40 mm of an electrode that did: ")
    assert "2 of the channels" in line
    assert touched_channels([], S64).warnings() == []
    unknown = touched_channels(["left mastoid"], ("O1", "Cz"))
    assert unknown.channels == ()
    assert "place of left mastoid on the head is unknown" in unknown.warnings()[0]
    assert unknown.to_dict()["unplaced"] == ["left mastoid"]
    # An electrode that is no channel of the recording still has neighbours.
    assert touched_channels(["F3"], ("F5", "Cz")).beside == ("F5",)
