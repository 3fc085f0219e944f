"""The protocol file: what a valid one means, and every mistake in one that is not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tacs.electrodes import OLD_NAMES, SITES, site_problem
from tacs.errors import FileProblems
from tacs.protocol import Protocol
from tests.tacs.made import individual_data, montage_data, protocol, protocol_data, protocols

TWO_LOOPS = montage_data(("F3", "Cz", 0.5), ("F4", "Cz", 0.5, 180.0))


def problems(data: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(FileProblems) as caught:
        Protocol.from_data(data, "p.toml")
    assert all(line.startswith("p.toml: ") for line in str(caught.value).splitlines())
    return caught.value.problems


def with_electrode(**changes: Any) -> dict[str, Any]:
    data = protocol_data()
    data["montage"]["electrodes"][0].update(changes)
    return data


def with_loop(**changes: Any) -> dict[str, Any]:
    data = protocol_data()
    data["montage"]["loops"][0].update(changes)
    return data


def renamed(old: str, new: str) -> dict[str, Any]:
    data = protocol_data()
    data[new] = data.pop(old)
    return data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (protocol_data(amplitude=1.0), ["amplitude: unknown key"]),
        (
            renamed("frequency_hz", "frequency"),
            ["frequency_hz: missing (hertz)", "the unit is missing: write frequency_hz (hertz)"],
        ),
        (
            renamed("ramp_up_s", "ramp_up"),
            ["ramp_up_s: missing (seconds)", "the unit is missing: write ramp_up_s (seconds)"],
        ),
        (with_loop(current_ma=1.0), ["did you mean current_peak_ma (milliampere, zero-to-peak"]),
        (protocol_data(frequency_hz=float("nan")), ["frequency_hz: must be a finite number"]),
        (protocol_data(duration_s=float("inf")), ["duration_s: must be a finite number"]),
        (protocol_data(frequency_hz="10"), ["frequency_hz: must be a number, not '10'"]),
        (protocol_data(frequency_hz=0.0), ["frequency_hz: must be more than 0"]),
        (protocol_data(waveform="tdcs"), ["waveform: must be 'tacs', 'am_tacs', 'active_sham' or"]),
        (with_loop(current_peak_ma=-1.0), ["current_peak_ma: must be more than 0.0, not -1.0"]),
        (with_loop(current_peak_ma=0.0), ["current_peak_ma: must be more than 0.0"]),
        (with_loop(phase_deg=360.0), ["phase_deg: must be less than 360"]),
        (with_loop(sink="Oz"), ["Oz is both source and sink", "Cz is declared and no loop uses"]),
        (with_loop(sink="Pz"), ["electrode Pz is not declared", "Cz is declared and no loop uses"]),
        (with_loop(source=["O1", "O2"]), ["one electrode, not a list", "no loop uses it"]),
        (with_electrode(name="Cz"), ["Cz is declared 2 times", "electrode Oz is not declared"]),
        (
            with_electrode(name="oz"),
            ["oz must be written Oz", "Oz is not declared", "no loop uses"],
        ),
        (with_electrode(name="T3"), ["T3 is the old name of T7", "Oz is not declared", "no loop"]),
        (with_electrode(area_cm2=0.0), ["area_cm2: must be more than 0"]),
        (with_electrode(material="foil"), ["material: must be 'conductive_rubber_paste'"]),
        (protocol_data(ramp_up_s=1190.0), ["1200 s is shorter than its ramps together (1205 s)"]),
        (protocol_data(waveform="active_sham"), ["sham_plateau_s: missing (seconds)"]),
        (protocol_data(sham_plateau_s=10.0), ["sham_plateau_s: only an active_sham has one"]),
        (
            protocol_data(waveform="active_sham", sham_plateau_s=1160.0),
            ["shorter than its ramps and plateau together (1205 s)"],
        ),
        (protocol_data(individual=individual_data(subject="a/b")), ["individual.subject"]),
        (
            protocol_data(individual=individual_data(measured_at="yesterday")),
            ["individual.measured_at: 'yesterday' is not an ISO 8601 time with its offset"],
        ),
        (
            protocol_data(individual=individual_data(measured_at="2026-03-01T09:30:00")),
            ["individual.measured_at"],
        ),
        (protocol_data(individual=individual_data(ci95_hz=[10.0])), ["ci95_hz[1]: missing"]),
        (protocol_data(blinding={"label": ""}), ["blinding.label"]),
        (protocol_data(schema_version=2), ["schema_version: must be 1"]),
    ],
)
def test_every_kind_of_mistake(data: dict[str, Any], expected: list[str]) -> None:
    found = problems(data)
    assert len(found) == len(expected)
    for line in expected:
        assert any(line in problem for problem in found), (line, found)


def test_all_mistakes_of_a_file_are_listed_at_once() -> None:
    data = protocol_data(frequency=10.0, ramp_up_s=float("nan"), duration_s=20.0)
    del data["frequency_hz"]
    data["montage"]["electrodes"].append(copy.deepcopy(data["montage"]["electrodes"][0]))
    data["montage"]["electrodes"].append({"name": "Pz", "area_cm2": 1, "material": "other"})
    data["montage"]["loops"][0]["current_peak_ma"] = -2
    data["montage"]["loops"][0]["sink"] = "CZ"
    found = "\n".join(problems(data))
    for line in (
        "frequency_hz: missing (hertz)",
        "frequency: unknown key",
        "ramp_up_s: must be a finite number",
        "loops[0].current_peak_ma: must be more than 0.0",
        "electrode CZ is not declared",
        "Oz is declared 2 times",
        "Cz is declared and no loop uses it",
        "Pz is declared and no loop uses it",
    ):
        assert line in found
    assert len(found.splitlines()) == 8


def test_worst_case_currents_add_up_whatever_the_phases() -> None:
    montage = protocol(montage=TWO_LOOPS).montage
    assert [montage.current_peak_ma(name) for name in ("F3", "F4", "Cz")] == [0.5, 0.5, 1.0]
    assert montage.total_injected_peak_ma == 1.0
    assert [loop.source for loop in montage.loops_at("Cz")] == ["F3", "F4"]


@pytest.mark.parametrize(
    ("waveform", "sham"), [("tacs", False), ("active_sham", True), ("passive_sham", True)]
)
def test_a_sham_is_known_by_its_waveform(waveform: str, sham: bool) -> None:
    plateau = {"sham_plateau_s": 10.0} if waveform == "active_sham" else {}
    assert protocol(waveform=waveform, **plateau).is_sham is sham


@settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(made=protocols())
def test_any_valid_protocol_survives_the_file(tmp_path: Path, made: Protocol) -> None:
    path = tmp_path / "p.toml"
    made.to_toml(path, comment="a comment")
    read = Protocol.from_toml(path)
    assert read == made
    assert read.sha256() == made.sha256()
    assert Protocol.from_data(made.to_data(), "again") == made


def test_any_change_changes_the_hash() -> None:
    base = protocol()
    hashes = {base.sha256()}
    for changes in (
        {"frequency_hz": 10.28},
        {"duration_s": 1201.0},
        {"montage": montage_data(("Oz", "Cz", 1.001))},
        {"montage": montage_data(("Cz", "Oz", 1.0))},
        {"individual": individual_data()},
        {"fallback_note": "fixed 10 Hz"},
    ):
        hashes.add(protocol(**changes).sha256())
    assert len(hashes) == 7


def test_site_names() -> None:
    assert {"Oz", "Cz", "F3", "F4", "Fp1", "POz", "T7", "M1"} <= SITES
    assert all(site_problem(site) is None for site in SITES)
    assert all(new in SITES and new in str(site_problem(old)) for old, new in OLD_NAMES.items())
    assert site_problem("Foo") == "'Foo' is not a 10-10 site (such as Oz, Cz, F3)"
    assert "must be written Fp1" in str(site_problem("FP1"))
