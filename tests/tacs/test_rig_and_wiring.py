"""Rig files, shipped rigs, and which channel carries which loop."""

from __future__ import annotations

import cmath
import math
from pathlib import Path
from typing import Any

import pytest

from tacs.errors import FileProblems, InputError
from tacs.protocol import Montage
from tacs.rig import Rig, load_rig, shipped_rigs
from tacs.wiring import Wiring, wire
from tests.tacs.made import channel_data, montage_data, rig

BIFRONTAL = [("F3", "Cz", 0.5), ("F4", "Cz", 0.5)]


def montage(*loops: tuple[Any, ...]) -> Montage:
    return Montage.from_data(montage_data(*loops), "made")


def wired(loops: list[tuple[Any, ...]], *channels: dict[str, Any]) -> Wiring:
    return wire(montage(*loops), rig(*channels))


def problems(*channels: dict[str, Any], **changes: Any) -> tuple[str, ...]:
    with pytest.raises(FileProblems) as caught:
        rig(*channels, **changes)
    return caught.value.problems


def test_a_loop_finds_its_channel() -> None:
    found = wired([("Oz", "Cz", 1.0)], channel_data(3, "Pz", "Fz"), channel_data(2, "Oz", "Cz"))
    assert found.problems == ()
    (loop,) = found.loops
    assert loop.channel.channel == 2
    assert not loop.reversed
    assert loop.channel_phase_deg == 0.0
    assert loop.amplitude_v == pytest.approx(0.5)


def test_swapped_polarity_is_half_a_turn() -> None:
    found = wired([("Oz", "Cz", 1.0, 30.0)], channel_data(1, "Cz", "Oz"))
    assert found.problems == ()
    assert found.loops[0].reversed
    assert found.loops[0].channel_phase_deg == 210.0
    again = wired([("Oz", "Cz", 1.0, 200.0)], channel_data(1, "Cz", "Oz"))
    assert again.loops[0].channel_phase_deg == pytest.approx(20.0)


def test_two_loops_on_a_rig_with_one_are_refused() -> None:
    found = wired(BIFRONTAL, channel_data(1, "F3", "Cz"))
    assert len(found.loops) == 1
    (problem,) = found.problems
    assert "no free channel" in problem
    assert "F4-Cz (it has F3-Cz)" in problem
    shipped = wire(montage(*BIFRONTAL), load_rig("emulated-synthpal-1loop"))
    assert len(shipped.problems) == 2


def test_a_channel_carries_one_loop_only() -> None:
    twice = [("Oz", "Cz", 0.5), ("Cz", "Oz", 0.5)]
    assert len(wired(twice, channel_data(1, "Oz", "Cz")).problems) == 1
    both = wired(twice, channel_data(1, "Oz", "Cz"), channel_data(2, "Oz", "Cz"))
    assert both.problems == ()
    assert [w.channel.channel for w in both.loops] == [1, 2]


@pytest.mark.parametrize(
    ("isolated", "n_problems"), [((True, True), 0), ((True, False), 1), ((False, False), 1)]
)
def test_loops_that_share_an_electrode_must_be_isolated(
    isolated: tuple[bool, bool], n_problems: int
) -> None:
    found = wired(
        BIFRONTAL,
        channel_data(1, "F3", "Cz", isolated=isolated[0]),
        channel_data(2, "F4", "Cz", isolated=isolated[1]),
    )
    assert len(found.loops) == 2
    assert len(found.problems) == n_problems
    assert all("electrode Cz is shared by 2 loops" in problem for problem in found.problems)


def test_loops_apart_need_no_isolation() -> None:
    found = wired(
        [("F3", "P3", 0.5), ("F4", "P4", 0.5)],
        channel_data(1, "F3", "P3", isolated=False),
        channel_data(2, "F4", "P4", isolated=False),
    )
    assert found.problems == ()


def test_phases_agree() -> None:
    channels = [channel_data(1, "F3", "Cz"), channel_data(2, "F4", "Cz")]
    assert wired(BIFRONTAL, *channels).phases_agree
    assert not wired([("F3", "Cz", 0.5), ("F4", "Cz", 0.5, 90.0)], *channels).phases_agree


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"positive": "Cz"}, "channels[0]: Cz is at both terminals"),
        ({"positive": "T3"}, "T3 is the old name of T7"),
        ({"positive": ["O1", "O2"]}, "channels[0].positive: must be a text in quotes"),
        ({"channel": 0}, "channels[0].channel: must be at least 1"),
        ({"channel": [1]}, "channels[0].channel: must be a whole number"),
        ({"gain_ma_per_v": 0.0}, "gain_ma_per_v: must be more than 0"),
        ({"gain_ma_per_v": float("nan")}, "gain_ma_per_v: must be a finite number"),
        ({"gain": 2.0}, "write gain_ma_per_v (milliampere per volt)"),
        ({"stimulator": ""}, "channels[0].stimulator"),
    ],
)
def test_every_kind_of_mistake(changes: dict[str, Any], expected: str) -> None:
    found = problems(channel_data(1, "Oz", "Cz", **changes))
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize("missing", ["isolated", "calibration", "compliance_v", "current_max_ma"])
def test_nothing_of_a_channel_has_a_default(missing: str) -> None:
    channel = channel_data(1, "Oz", "Cz")
    del channel[missing]
    assert any(f"channels[0].{missing}: missing" in problem for problem in problems(channel))


OUTPUT: dict[str, Any] = {
    key: value
    for key, value in channel_data(1, "Oz", "Cz").items()
    if key in ("channel", "current_max_ma", "compliance_v", "calibration")
}


def electrode_rig(*names: str, **changes: Any) -> dict[str, Any]:
    outputs = [{**OUTPUT, "channel": k + 1, "electrode": name} for k, name in enumerate(names)]
    return {"name": "cap", "device": "made", "outputs": outputs, **changes}


def test_a_rig_has_loops_or_electrodes_and_not_both() -> None:
    for data, expected in (
        ({"name": "x", "device": "y"}, "channels: missing; write one table per isolated loop"),
        (
            electrode_rig("Oz", "Cz", channels=[channel_data(1, "Oz", "Cz")]),
            "channels, outputs: a rig has one or the other",
        ),
        (electrode_rig("Oz", "Oz"), "outputs: electrode Oz is wired 2 times; wire each once"),
    ):
        with pytest.raises(FileProblems) as caught:
            Rig.from_data(data, "made rig")
        assert any(expected in problem for problem in caught.value.problems), expected


def test_an_electrode_carries_the_sum_of_its_loops() -> None:
    cap = Rig.from_data(electrode_rig("Oz", "Cz", "F3"), "cap")
    found = wire(montage(("Oz", "Cz", 1.0, 30.0), ("F3", "Cz", 0.5, 30.0)), cap)
    assert found.problems == ()
    assert found.loops == ()
    assert {c.name: (c.channel, c.current_peak_ma, c.phase_deg) for c in found.channels} == {
        "Oz": (1, pytest.approx(1.0), pytest.approx(30.0)),
        "Cz": (2, pytest.approx(1.5), pytest.approx(210.0)),
        "F3": (3, pytest.approx(0.5), pytest.approx(30.0)),
    }


def test_loops_of_different_phase_add_as_phasors_and_all_electrodes_to_nothing() -> None:
    cap = Rig.from_data(electrode_rig("Oz", "Cz", "F3", "F4"), "cap")
    loops = montage(("Oz", "Cz", 1.0, 0.0), ("F3", "Cz", 1.0, 90.0), ("F4", "Oz", 0.3, 200.0))
    found = wire(loops, cap).channels
    shared = next(c for c in found if c.name == "Cz")
    assert shared.current_peak_ma == pytest.approx(math.sqrt(2.0))
    assert shared.phase_deg == pytest.approx(225.0)
    phasors = [cmath.rect(c.current_peak_ma, math.radians(c.phase_deg)) for c in found]
    assert abs(sum(phasors)) < 1e-9


def test_loops_that_cancel_at_an_electrode_leave_nothing_there() -> None:
    cap = Rig.from_data(electrode_rig("Oz", "Cz", "F3"), "cap")
    found = wire(montage(("Oz", "Cz", 0.7, 40.0), ("Cz", "F3", 0.7, 40.0)), cap)
    middle = next(c for c in found.channels if c.name == "Cz")
    assert (middle.current_peak_ma, middle.phase_deg) == (0.0, 0.0)


def test_an_electrode_without_an_output_is_told() -> None:
    cap = Rig.from_data(electrode_rig("Oz", "Cz"), "cap")
    found = wire(montage(("Oz", "Pz", 1.0)), cap)
    assert found.problems == ("no output of rig 'cap' is wired to Pz (it has Oz, Cz)",)


def test_a_rig_of_electrodes_survives_the_file(tmp_path: Path) -> None:
    made = Rig.from_data(electrode_rig("Oz", "Cz", options={"protocol": "zero"}), "cap")
    made.to_toml(tmp_path / "cap.toml")
    assert Rig.from_toml(tmp_path / "cap.toml") == made
    assert made.electrodes == ("Oz", "Cz")
    assert "channels" not in made.to_data()


def test_a_channel_is_wired_once() -> None:
    found = problems(channel_data(1, "Oz", "Cz"), channel_data(1, "F3", "Cz"))
    assert found == ("channels: generator channel 1 is wired 2 times; wire each once",)


def test_a_calibration_expires_after_it_was_made() -> None:
    bad = {
        "calibrated_on": "2026-01-02",
        "expires_on": "2026-01-01",
        "load_kohm": 10.0,
        "by": "x",
    }
    found = problems(channel_data(1, "Oz", "Cz", calibration=bad))
    assert any("expires_on must be later than calibrated_on" in problem for problem in found)


def test_shipped_rigs_are_emulated_and_survive_the_file(tmp_path: Path) -> None:
    assert set(shipped_rigs()) >= {
        "emulated-synthpal",
        "emulated-synthpal-1loop",
        "emulated-synthpal-monitored",
    }
    for name in shipped_rigs():
        found = load_rig(name)
        assert found.name == name
        assert found.emulated
        assert name.startswith(f"emulated-{found.device}")
        found.to_toml(tmp_path / "rig.toml")
        assert Rig.from_toml(tmp_path / "rig.toml").sha256() == found.sha256()
        assert load_rig(tmp_path / "rig.toml") == found


def test_an_unknown_rig_lists_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no such rig file; shipped rigs: .*emulated-synthpal"):
        load_rig("nowhere.toml")


LOOPS = (channel_data(1, "Oz", "Cz"), channel_data(2, "F3", "Cz"))
FOUND = {"calibrated_on": "2026-01-01", "expires_on": "2027-01-01", "load_kohm": 10.0, "by": "x"}


def monitor_data(*electrodes: str, **changes: Any) -> dict[str, Any]:
    inputs = [{"input": k, "electrode": name} for k, name in enumerate(electrodes, start=1)]
    return {"device": "refmonitor", "inputs": inputs, "calibration": FOUND, **changes}


def test_a_monitor_survives_the_file(tmp_path: Path) -> None:
    data = monitor_data("Cz", "Oz", "F3", address="/dev/ttyACM1", battery_min=0.35)
    found = rig(*LOOPS, emulated=False, monitor=data)
    assert found.monitor is not None
    assert found.monitor.electrodes == {1: "Cz", 2: "Oz", 3: "F3"}
    assert found.to_data()["monitor"] == data
    found.to_toml(tmp_path / "rig.toml")
    assert Rig.from_toml(tmp_path / "rig.toml") == found


def test_an_emulated_monitor_needs_no_address_and_a_real_one_does() -> None:
    data = monitor_data("Oz", "Cz", "F3")
    found = rig(*LOOPS, emulated=True, monitor=data).monitor
    assert found is not None
    assert (found.address, found.battery_min) == (None, 0.2)
    (problem,) = problems(*LOOPS, emulated=False, monitor=data)
    assert problem == "monitor.address: missing; write its port, such as /dev/ttyACM1"


def test_a_rig_without_a_monitor_is_written_as_before() -> None:
    assert "monitor" not in rig(*LOOPS).to_data()


def test_every_electrode_is_measured_once() -> None:
    twice = problems(*LOOPS, emulated=True, monitor=monitor_data("Oz", "Cz", "Cz", "P4"))
    assert twice == (
        "monitor.inputs: electrode Cz is wired 2 times; wire each once",
        "monitor.inputs: electrode F3 is not measured; wire each electrode of the channels to an "
        "input",
        "monitor.inputs: electrode P4 is in no channel; take it out",
    )
    data = monitor_data("Oz", "Cz", "F3")
    data["inputs"][2]["input"] = 1
    (problem,) = problems(*LOOPS, emulated=True, monitor=data)
    assert problem == "monitor.inputs: input 1 is wired 2 times; wire each once"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"inputs": []}, "monitor.inputs: needs at least 1 entries"),
        ({"inputs": "Oz"}, "monitor.inputs: must be a list"),
        ({"battery_min": 1.0}, "monitor.battery_min: must be less than 1"),
        ({"battery_min": "full"}, "monitor.battery_min: must be a number"),
        ({"calibration": {**FOUND, "expires_on": "2025-01-01"}}, "later than calibrated_on"),
        ({"adress": "/dev/ttyACM1"}, "monitor.adress: unknown key; did you mean address"),
    ],
)
def test_mistakes_of_a_monitor(changes: dict[str, Any], expected: str) -> None:
    data = monitor_data("Oz", "Cz", "F3", **changes)
    assert any(expected in p for p in problems(*LOOPS, emulated=True, monitor=data))


def test_an_input_needs_a_site_and_a_number() -> None:
    data = monitor_data("Oz", "Cz", "F3")
    data["inputs"] += [{"input": 0, "electrode": "T3"}]
    found = problems(*LOOPS, emulated=True, monitor=data)
    assert any("monitor.inputs[3].input: must be at least 1" in p for p in found)
    assert any("T3 is the old name of T7" in p for p in found)


def test_the_monitored_rig_is_the_emulated_one_with_a_monitor() -> None:
    plain, monitored = load_rig("emulated-synthpal"), load_rig("emulated-synthpal-monitored")
    assert monitored.channels == plain.channels
    assert monitored.monitor is not None
    assert set(monitored.monitor.electrodes.values()) == {"Oz", "Cz", "F3", "F4"}
