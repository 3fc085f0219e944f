"""What a rig says of its card, and what the card then declares; addresses of outputs."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from devices.nidaq import NiDaq
from devices.nidaq_options import Options, output_names, read_options, watchdog_device
from tacs.capabilities import Capabilities
from tacs.errors import FileProblems, InputError
from tacs.rig import Rig, load_rig
from tests.devices.nidaq_bench import INTERLOCKED, UNWATCHED, WATCHED


def with_options(**options: object) -> Rig:
    return UNWATCHED.model_copy(update={"options": options})


def test_what_is_left_out():
    assert read_options(None) == read_options(UNWATCHED) == Options()
    assert Options().step == Fraction(20, 65_536)
    assert Options(range_v=5.0, bits=14).step == Fraction(10, 16_384)
    assert not Options().timed


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"watchdgo": True}, "options.watchdgo: unknown; this driver has sample_rate_hz"),
        ({"sample_rate_hz": 500}, "options.sample_rate_hz: 500; write 1000 to 20000, hertz"),
        ({"sample_rate_hz": True}, "options.sample_rate_hz: True"),
        ({"range_v": 11.0}, "options.range_v: 11.0; write 1 to 10, volts zero-to-peak"),
        ({"range_v": math.nan}, "options.range_v: nan"),
        ({"bits": 16.0}, "options.bits: 16.0; write a whole number of bits, 12 to 24"),
        ({"bits": 8}, "options.bits: 8"),
        ({"watchdog": "yes"}, "options.watchdog: 'yes'; write true or false"),
        ({"watchdog": True, "watchdog_s": 2.0}, "options.watchdog_s: 2.0; write 0.1 to 1, seconds"),
        ({"watchdog_s": 0.25}, "options.watchdog_s: there is no timer"),
        ({"watchdog": False, "watchdog_device": "cDAQ1"}, "options.watchdog_device: there is no"),
        ({"watchdog": True, "watchdog_device": " "}, "options.watchdog_device: ' '; write the"),
        ({"interlock": "relay"}, "options.interlock: 'relay'; write the line that enables"),
        ({"idle_output": "off"}, "options.idle_output: 'off'; write maintain or zero_volts"),
    ],
)
def test_a_bad_option_is_one_line(options, told):
    with pytest.raises(FileProblems) as found:
        NiDaq.capabilities_on(with_options(**options))
    assert any(told in problem for problem in found.value.problems)
    assert "emulated-nidaq-unwatched" in str(found.value)


def test_every_mistake_is_told_at_once():
    with pytest.raises(FileProblems) as found:
        read_options(with_options(bits=1, range_v=99, colour="red"))
    assert len(found.value.problems) == 3


def test_most_cards_hold_a_direct_current_for_ever():
    for declared in (NiDaq.capabilities, NiDaq.capabilities_on(UNWATCHED)):
        assert declared.host_loss == "never"
        assert math.isinf(declared.host_loss_worst_case_s)
        assert "direct current" in declared.on_host_loss
        assert not declared.verified
    assert NiDaq.capabilities_on(None) == NiDaq.capabilities


def test_a_watchdog_ends_it():
    declared = NiDaq.capabilities_on(WATCHED)
    assert (declared.host_loss, declared.host_loss_worst_case_s) == ("lease", 0.25)
    assert "sets the outputs to 0 V 0.25 s after it was last fed" in declared.on_host_loss
    longer = NiDaq.capabilities_on(with_options(watchdog=True, watchdog_s=0.5))
    assert longer.host_loss_worst_case_s == 0.5


def test_an_interlock_ends_it():
    declared = NiDaq.capabilities_on(INTERLOCKED)
    assert (declared.host_loss, declared.host_loss_worst_case_s) == ("lease", 0.25)
    assert "takes Dev1/port0/line0 low" in declared.on_host_loss


def test_clock_and_converter_are_those_of_the_rig():
    declared = NiDaq.capabilities_on(with_options(sample_rate_hz=10_000, range_v=5.0, bits=14))
    assert declared.frequency_max_hz == 1000.0
    assert declared.amplitude_max_v == 5.0
    assert declared.amplitude_step_v == 10.0 / 16_384
    assert isinstance(declared, Capabilities)


def test_shipped_rigs_differ_in_their_options_only():
    rigs = [load_rig(f"emulated-nidaq{tail}") for tail in ("", "-unwatched", "-interlock")]
    assert len({tuple(rig.channels) for rig in rigs}) == 1
    assert {"Oz", "Cz", "F3", "F4"} <= set(rigs[0].electrodes)
    assert all(rig.emulated for rig in rigs)


# addresses


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("Dev1/ao0", ["Dev1/ao0"]),
        ("Dev1/ao0:2", ["Dev1/ao0", "Dev1/ao1", "Dev1/ao2"]),
        ("Dev1/ao0:ao1", ["Dev1/ao0", "Dev1/ao1"]),
        ("Dev1/ao1:0", ["Dev1/ao1", "Dev1/ao0"]),
        ("cDAQ1Mod1/ao0, cDAQ1Mod1/ao3", ["cDAQ1Mod1/ao0", "cDAQ1Mod1/ao3"]),
    ],
)
def test_outputs_of_an_address(address, names):
    assert list(output_names(address)) == names


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("", "names no outputs of a card; write nidaq:DEVICE/ao0:1"),
        ("Dev1", "names no outputs"),
        ("Dev1/ai0", "names no outputs"),
        ("Dev1/ao0,,Dev1/ao1", "names no outputs"),
        ("Dev1/ao0,Dev1/ao0", "names an output twice"),
        ("Dev1/ao0,Dev2/ao0", "outputs of Dev1 and Dev2 run by clocks of their own"),
    ],
)
def test_an_address_that_names_none(address, told):
    with pytest.raises(InputError, match=told):
        output_names(address)


@pytest.mark.parametrize(
    ("options", "outputs", "device"),
    [
        (Options(watchdog=True), ("Dev1/ao0",), "Dev1"),
        (Options(watchdog=True), ("cDAQ1Mod2/ao0",), "cDAQ1"),
        (Options(interlock="Dev3/port0/line1"), ("Dev1/ao0",), "Dev3"),
        (Options(watchdog=True, watchdog_device="cDAQ9"), ("Dev1/ao0",), "cDAQ9"),
    ],
)
def test_the_device_that_has_the_timer(options, outputs, device):
    assert watchdog_device(options, outputs) == device
