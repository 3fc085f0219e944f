"""Lines taken apart and put together, and from programme to train."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.stimjim_lines import (
    EngineState,
    Kind,
    Line,
    Measurement,
    Reading,
    SineTrain,
    milli,
    milli_text,
)
from devices.stimjim_peaks import peaks_of
from devices.stimjim_programme import microampere, shape_of, train_of
from tacs.errors import InputError, SafetyRefusal
from tests.devices.stimjim_session import ENVELOPE, NOTHING, RIG, SHAM, program

GOLDEN = "W99,1,3,20000000,20000000;500,0,20000000;10.27,10.27,0;0,0,0;5000000,3000000,0"


@pytest.mark.parametrize(
    ("text", "kind", "word", "unasked"),
    [
        ("ERR W: bad frequency triplet (freq0)", Kind.ERROR, "W", False),
        ("ERR line too long (max 999)", Kind.ERROR, "", False),
        ("ERR parse: expected command word", Kind.ERROR, "parse", False),
        ("WARN T: engine busy (slot 3) — start dropped, stop with T-1", Kind.WARNING, "T", False),
        ("WARN W: burst_us exceeds period_us", Kind.WARNING, "W", False),
        ("WARN engine: 1 latch(es) overran their deadline", Kind.WARNING, "engine", True),
        ("WARN MEAS: MDATA ring overflowed", Kind.WARNING, "MEAS", True),
        ("OK", Kind.OK, "", False),
        ("# engine: PIT channels 0/1", Kind.COMMENT, "", True),
        ("STAT,-1,0,0,0,-1,0,0,0", Kind.DATA, "STAT", False),
        ("W99,1,3,1,1", Kind.DATA, "W", False),
        ("TRIG0,0,-1,-1,0", Kind.DATA, "TRIG", False),
        ("MDATA,99,0,90,1.0,2.0,,", Kind.DATA, "MDATA", True),
        ("MSUM,99,1,90,1.0,,2.0,,,,,", Kind.DATA, "MSUM", True),
        ("Train #1 complete. Delivered 1 pulses.", Kind.TEXT, "", True),
        ("Note: no measurement carried out.", Kind.TEXT, "", True),
        ("Forcing T train to stop", Kind.TEXT, "", True),
        ("Started T train with parameters of PulseTrain 99", Kind.TEXT, "", False),
        ("Set channel 0 to mode 3", Kind.TEXT, "", False),
        ("", Kind.TEXT, "", True),
    ],
)
def test_the_first_token_says_what_a_line_is(text: str, kind: Kind, word: str, unasked: bool):
    line = Line.of(text)
    assert (line.kind, line.word, line.unasked) == (kind, word, unasked)


@given(st.integers(-2_000_000_000, 4_400_000_000))
def test_thousandths_survive_being_written_and_read(value: int):
    text = milli_text(value)
    assert milli(text) == value
    assert not (text.endswith("0") and "." in text)


@pytest.mark.parametrize(
    "text", ["", ".", "1.2345", "1,5", "nan", "1e3", "--1", "1.", "99999999999"]
)
def test_what_is_no_decimal(text: str):
    with pytest.raises(ValueError, match="no decimal"):
        milli(text)


trains = st.builds(
    SineTrain,
    slot=st.integers(0, 99),
    mode0=st.sampled_from([0, 1, 2, 3, 90, 91]),
    mode1=st.sampled_from([0, 1, 2, 3, 90, 91]),
    **{n: st.integers(0, 2**32 - 1) for n in ("period_us", "duration_us", "burst_us")},
    delay_us=st.integers(0, 2_000_000_000),
    **{n: st.integers(-3000, 3000) for n in ("amplitude0_ua", "amplitude1_ua")},
    **{n: st.integers(0, 2**32 - 1) for n in ("frequency0_mhz", "frequency1_mhz")},
    **{n: st.integers(-2_000_000_000, 2_000_000_000) for n in ("phase0_mdeg", "phase1_mdeg")},
    **{n: st.just(0) for n in ("frequency_reserved", "phase_reserved", "shape")},
    **{n: st.integers(0, 2**32 - 1) for n in ("ramp_in_us", "ramp_out_us")},
)


@given(trains)
def test_a_train_survives_being_written_and_read(train: SineTrain):
    assert SineTrain.parse(train.line) == train
    assert train.differences(train) == []
    assert len(train.line) < 999


@pytest.mark.parametrize(
    "text",
    [
        "S99,1,3,1,1",
        "W99,1,3,1",
        "W99,1,3,1,1;1,1,1;1,1,0;0,0,0",  # no envelope: the device always echoes one
        GOLDEN + ",0",
        GOLDEN + ";0",
        GOLDEN.replace("10.27,", "10.2701,"),
        GOLDEN.replace("500,", "5e2,"),
        GOLDEN.replace("W99", "W"),
        GOLDEN + " and more",
    ],
)
def test_what_is_no_train(text: str):
    with pytest.raises(ValueError):  # noqa: PT011 - any reason
        SineTrain.parse(text)


def test_differences_name_the_field_and_both_values():
    train = SineTrain.parse(GOLDEN)
    other = train._replace(amplitude0_ua=501, ramp_out_us=1)
    assert train.differences(other) == [
        "amplitude0_ua is 501 instead of 500",
        "ramp_out_us is 1 instead of 3000000",
    ]


def test_states_of_engines():
    first, second = EngineState.both("STAT,99,0,30520739,60000000,-1,0,0,0")
    assert first == (99, 0, 30_520_739, 60_000_000)
    assert second == (-1, 0, 0, 0)
    for text in (
        "STAT,99,0,1,1",
        "STAT,x,0,0,0,-1,0,0,0",
        "STAT,100,0,0,0,-1,0,0,0",
        "STAT,1,0,-5,0,-1,0,0,0",
        "STAT,-1,0,0,0,-1,0,0,0,0",
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            EngineState.both(text)


def test_measurements_have_empty_fields_where_nothing_was_measured():
    stream = Measurement.parse("MDATA,99,0,270,-4999.6,-499.8,,")
    assert stream == (99, 270, (-4999.6, None), (-499.8, None))
    summary = Measurement.parse("MSUM,99,1,90,4999.6,,499.8,,1.5,,2.5,")
    assert summary == (99, 90, (4999.6, 1.5), (499.8, 2.5))
    for text in ("MDATA,99,0,270,1,2,3", "MSUM,99,1,90,1", "MDATA,99,0,90,nan,1,1,1"):
        with pytest.raises(ValueError):  # noqa: PT011
            Measurement.parse(text)


def test_readings():
    assert Reading.parse("READ,0,16,-2.44,0.10,0.85,0.00") == (-2.44, 0.1, 0.85, 0.0)
    for text in ("READ,0,16,1,1,1", "READ,0,16,1,,1,1", "READ,0,16,1,1,1,inf", "READ,0,x,1,1,1,1"):
        with pytest.raises(ValueError):  # noqa: PT011
            Reading.parse(text)


# from programme to train


def test_the_golden_line():
    plan = program()
    assert train_of(plan, shape_of(plan), {1: 500}).line == GOLDEN


def test_two_channels_have_their_phases_in_thousandths_of_a_degree():
    plan = program({1: 0.5, 2: 0.25}, {1: -90.0, 2: 540.0004})
    line = train_of(plan, shape_of(plan), {1: 500, 2: 250}).line
    assert line.startswith("W99,1,1,20000000,20000000;500,250,20000000;10.27,10.27,0;270,180,0;")


def test_envelopes_that_fit():
    assert shape_of(program(envelope=ENVELOPE)) == dataclasses.replace(
        shape_of(program()), silent_us=0
    )
    sham = shape_of(program(envelope=SHAM))
    assert (sham.ramp_in_us, sham.plateau_us, sham.ramp_out_us) == (2_000_000, 1_000_000, 1_000_000)
    assert (sham.train_us, sham.silent_us) == (4_000_000, 16_000_000)
    nothing = shape_of(program(envelope=NOTHING))
    assert (nothing.train_us, nothing.silent_us) == (0, 20_000_000)
    straight = shape_of(program(envelope=((0.0, 0.0), (5.0, 1.0), (8.0, 0.0))))
    assert (straight.ramp_in_us, straight.plateau_us, straight.ramp_out_us) == (5e6, 0, 3e6)


@pytest.mark.parametrize(
    "envelope",
    [
        ((0.0, 0.0), (5.0, 0.5), (8.0, 0.0)),  # half the current
        ((0.0, 0.0), (5.0, 0.5), (8.0, 1.0), (9.0, 0.0)),  # a bend
        ((0.0, 0.0), (1.0, 0.0), (5.0, 1.0), (8.0, 0.0)),  # silence first
        ((0.0, 0.0), (5.0, 1.0), (8.0, 0.0), (9.0, 1.0), (10.0, 0.0)),  # two trains
        ((0.0, 0.0), (0.0, 0.0)),  # nothing at all
        ((1.0, 0.0), (5.0, 1.0), (8.0, 0.0)),  # not from the start
        ((0.0, 0.0), (5.0, 1.0), (4.0, 0.0)),  # backwards
        ((0.0, 0.0), (5.0, 1.0), (math.nan, 0.0)),
        ((0.0, 0.0), (5.0, 1.0), (4295.0, 0.0)),  # more than 32 bits of microseconds
    ],
)
def test_envelopes_that_do_not(envelope: tuple[tuple[float, float], ...]):
    with pytest.raises(InputError) as refusal:
        shape_of(program(envelope=envelope))
    assert "\n" not in str(refusal.value)


@given(st.floats(0.0, 3.0))
def test_currents_are_rounded_down_to_microampere(current_ma: float):
    current_ua = microampere(current_ma, RIG.channels[0])
    assert current_ua <= 1000.0 * current_ma + 1e-6
    assert current_ua > 1000.0 * current_ma - 1.0


@given(st.integers(0, 3000))
def test_whole_microampere_are_not_lost_to_binary_fractions(current_ua: int):
    assert microampere(current_ua / 1000.0, RIG.channels[0]) == current_ua


def test_currents_that_cannot_be():
    for current_ma in (math.nan, math.inf, -0.1):
        with pytest.raises(InputError, match="zero-to-peak"):
            microampere(current_ma, RIG.channels[0])
    with pytest.raises(SafetyRefusal, match="device_current_ma") as refusal:
        microampere(3.001, RIG.channels[0])
    assert "rig_current_max_ma" in str(refusal.value)
    weak = RIG.channels[0].model_copy(update={"current_max_ma": 1.0})
    with pytest.raises(SafetyRefusal, match="rig_current_max_ma") as refusal:
        microampere(1.001, weak)
    assert "device_current_ma" not in str(refusal.value)


# what was measured


def measured(**changes: tuple[float | None, float | None]) -> dict[int, Measurement]:
    crest = Measurement(99, 90, (5002.0, -998.0), (503.0, -197.0))
    trough = Measurement(99, 270, (-4998.0, 1002.0), (-497.0, 203.0))
    return {90: crest._replace(**changes), 270: trough}


def peaks(phase1_deg: float = 180.0, **changes):
    plan = program({1: 0.5, 2: 0.2}, {1: 0.0, 2: phase1_deg})
    return peaks_of(measured(**changes), train_of(plan, shape_of(plan), {1: 500, 2: 200}))


def test_crest_and_trough_make_current_offset_and_impedance():
    found = peaks()
    assert found[1].current_peak_ma == pytest.approx(0.5)
    assert found[1].offset_ua == pytest.approx(3.0)
    assert found[1].impedance_kohm == pytest.approx(10.0)
    assert found[2].current_peak_ma == pytest.approx(0.2)
    assert found[2].impedance_kohm == pytest.approx(5.0)
    assert found[2].to_dict()["voltage_peak_v"] == 1.0


def test_a_channel_out_of_phase_was_not_measured_at_its_peaks():
    assert set(peaks(phase1_deg=90.0)) == {1}


def test_impedance_needs_current_and_room_for_the_voltage():
    assert peaks(voltages_mv=(9000.0, 0.0))[1].impedance_kohm is None
    assert peaks(voltages_mv=(None, 0.0))[1].voltage_peak_v is None
    small = {p: m._replace(currents_ua=(5.0, 0.0)) for p, m in measured().items()}
    plan = program()
    assert peaks_of(small, train_of(plan, shape_of(plan), {1: 5}))[1].impedance_kohm is None


def test_one_peak_alone_or_without_current_says_nothing():
    plan = program()
    train = train_of(plan, shape_of(plan), {1: 500})
    assert peaks_of({90: measured()[90]}, train) == {}
    assert 1 not in peaks(currents_ua=(None, 1.0))
