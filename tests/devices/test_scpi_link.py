"""The link to the letter: grammar of answers, error queue, posts, and finding its way back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.scpi_dialects import DIALECTS, Setting
from devices.scpi_link import (
    Error,
    Question,
    ScpiLink,
    parse_error,
    parse_identification,
    parse_number,
    parse_switch,
    parse_word,
    question,
)
from devices.transport import Transport
from tacs.errors import DeviceRefused, LinkLost, ProtocolViolation, UncertainDelivery

NONE = '0,"No error"'


class Script(Transport):
    """Answers every query with the next of some lines; None is no answer."""

    address = "script"

    def __init__(self, *answers: str | bytes | None) -> None:
        self.answers = list(answers)
        self.written: list[str] = []
        self.waited_s: list[float] = []
        self.waiting = b""
        self.lost = False

    def write(self, data: bytes) -> None:
        if self.lost:
            raise LinkLost("script: gone")
        for line in data.decode("ascii").splitlines():
            self.written.append(line)
            if "?" in line and self.answers:
                answer = self.answers.pop(0)
                if answer is not None:
                    self.waiting += answer if isinstance(answer, bytes) else f"{answer}\n".encode()

    def read(self, n: int, timeout_s: float) -> bytes:
        if not self.waiting and timeout_s:
            self.waited_s.append(timeout_s)
        data, self.waiting = self.waiting[:n], self.waiting[n:]
        return data

    def discard_input(self) -> None:
        self.waiting = b""

    def reconnect(self) -> None:
        self.lost = False

    def close(self) -> None:
        self.lost = True


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.000000E-01", 0.1),
        ("+1.00000000E+01", 10.0),
        ("-2.5", -2.5),
        (".5", 0.5),
        ("152", 152.0),
        ("9.900000E+37", math.inf),
        ("-9.9E37", -math.inf),
        ("INFINITY", math.inf),
        ("inf", math.inf),
    ],
)
def test_numbers(text: str, value: float):
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text", ["", "nan", "NAN", "1,2", "0x10", "1e9999", "1_0", "ON", "1 V", " 1"]
)
def test_what_is_no_number(text: str):
    with pytest.raises(ProtocolViolation, match="where a number is due"):
        parse_number(text)


def test_switches_words_errors_and_identities():
    assert [parse_switch(t) for t in ("ON", "on", "1", "OFF", "0")] == [True] * 3 + [False] * 2
    assert parse_word("Center") == "CENTER"
    assert parse_error('-113,"Undefined header"') == Error(-113, "Undefined header")
    assert parse_error('+0,"No error"') == Error(0, "No error")
    assert parse_error('-222, "Data out of range; VOLT"').code == -222
    assert parse_identification("Rigol Technologies, DG1062Z ,DG1,00.01").model == "DG1062Z"


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_switch, "2"),
        (parse_switch, ""),
        (parse_word, "1A"),
        (parse_word, "A B"),
        (parse_error, "0"),
        (parse_error, '-0,"No error"'),
        (parse_error, '+0113,"Undefined header"'),
        (parse_error, '000003,"Undefined header"'),
        (parse_error, "No error"),
        (parse_error, '0,"No error'),
        (parse_error, '0,"No error","x"'),
        (parse_identification, "DG1062Z"),
        (parse_identification, ",,,"),
        (parse_identification, "a,b,c,d,e"),
    ],
)
def test_what_is_none_of_them(parse, text: str):
    with pytest.raises(ProtocolViolation, match="answered"):
        parse(text)


@given(st.text())
def test_no_text_brings_anything_but_a_value_or_a_violation(text: str):
    for parse in (parse_number, parse_switch, parse_word, parse_error, parse_identification):
        try:
            parse(text)
        except ProtocolViolation:
            continue


def test_a_setting_inside_a_longer_answer():
    setting = Setting("C{n}:BSWV FRQ,{v}", "C{n}:BSWV?", pick=r"FRQ,([0-9.E+-]+)HZ")
    asked = question(setting, 1)
    assert asked.line == "C1:BSWV?"
    assert asked.parse("C1:BSWV WVTP,SINE,FRQ,100HZ,PERI,0.01S,AMP,2V") == 100.0
    with pytest.raises(ProtocolViolation, match="without what was asked for"):
        asked.parse("C1:BSWV WVTP,DC,OFST,0V")


def test_every_setting_of_every_dialect_can_be_made_and_asked():
    for dialect in DIALECTS.values():
        for name, _ in (*dialect.basics, *dialect.burst):
            setting = dialect.settings[name]
            assert setting.set.format(n=2, v="X").endswith(" X")
            assert question(setting, 2).line.endswith("?")
        assert {"output", "amplitude", "cycles", "burst"} <= set(dialect.settings)
        assert dialect.clamped == ("clamp" in dict(dialect.burst))


def test_a_query_is_one_write_and_one_line():
    line = Script("1.000000E+01")
    assert ScpiLink(line).ask("FREQ?", parse_number) == 10.0
    assert line.written == ["FREQ?"]


def test_settings_are_followed_by_the_error_queue_until_it_is_empty():
    line = Script(NONE)
    ScpiLink(line).command("FREQ 10", "VOLT 1")
    assert line.written == ["FREQ 10", "VOLT 1", ":SYST:ERR?"]
    line = Script('-222,"Data out of range"', '-113,"Undefined header"', NONE)
    with pytest.raises(DeviceRefused) as refusal:
        ScpiLink(line).command("VOLT 99")
    told = "script: VOLT 99 was answered with error -222, Data out of range; -113, Undefined header"
    assert str(refusal.value) == told
    assert line.written == ["VOLT 99", ":SYST:ERR?", ":SYST:ERR?", ":SYST:ERR?"]


def test_harmless_errors_are_counted():
    link = ScpiLink(Script('-108,"Parameter not allowed"', NONE), (-108,))
    link.command("VOLT 1")
    assert link.errors_ignored == 1


def test_an_error_queue_without_end_is_a_violation():
    with pytest.raises(ProtocolViolation, match="does not end"):
        ScpiLink(Script(*['-100,"Command error"'] * 99)).command("VOLT 1")


def test_no_answer_is_uncertain_and_the_link_listens_before_it_goes_on():
    line = Script(None, "2")
    link = ScpiLink(line)
    with pytest.raises(UncertainDelivery, match=r"no answer to 'FREQ\?' within 0.5 s"):
        link.ask("FREQ?", parse_number)
    line.waiting = b"1\n"  # late
    assert link.ask("VOLT?", parse_number) == 2.0
    assert line.waited_s[0] == 0.5
    assert (link.resynchronisations, link.stray_lines) == (1, 1)


def test_lines_that_nobody_asked_for_are_not_taken_for_an_answer():
    line = Script("2")
    line.waiting = b"1\n1\n"
    link = ScpiLink(line)
    assert link.ask("VOLT?", parse_number) == 2.0
    assert (link.resynchronisations, link.stray_lines) == (0, 2)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"\xff\xfe\n", "which is no text"),
        (b"x" * 2000, "bytes and no line"),
        (b"ON\n", "script: answered 'ON' where a number is due"),
    ],
)
def test_what_is_no_answer_is_a_violation(answer: bytes, message: str):
    line = Script(answer, "3")
    link = ScpiLink(line)
    with pytest.raises(ProtocolViolation, match=message):
        link.ask("VOLT?", parse_number)
    assert link.ask("VOLT?", parse_number) == 3.0


def test_a_post_is_not_waited_for():
    line = Script(None, None)
    link = ScpiLink(line)
    link.post(["VOLT 1"], [Question("VOLT?", parse_number)], now_s=5.0)
    assert line.written == ["VOLT 1", "VOLT?", ":SYST:ERR?"]
    assert link.poll(5.02) is None
    line.waiting = b"1.0\n"
    assert link.poll(5.04) is None
    line.waiting = NONE.encode() + b"\r\n"
    assert link.poll(5.06) == [1.0]
    assert link.poll(5.08) == []
    assert line.waited_s == []


def test_a_post_that_stays_unanswered_is_uncertain():
    link = ScpiLink(Script(None, None))
    link.post(["VOLT 1"], [], now_s=5.0)
    assert link.poll(5.5) is None
    with pytest.raises(UncertainDelivery, match="no answer to a step"):
        link.poll(5.52)
    assert link.poll(5.54) == []


def test_a_post_that_is_refused():
    link = ScpiLink(Script("1.0", '-222,"Data out of range"', NONE))
    link.post(["VOLT 9"], [Question("VOLT?", parse_number)], now_s=5.0)
    with pytest.raises(DeviceRefused, match="-222"):
        link.poll(5.02)


def test_a_question_between_keeps_the_answers_of_a_post():
    link = ScpiLink(Script("1.0", NONE, "10.0"))
    link.post(["VOLT 1"], [Question("VOLT?", parse_number)], now_s=5.0)
    assert link.ask("FREQ?", parse_number) == 10.0
    assert link.poll(5.02) == [1.0]
    assert link.poll(5.04) == []


def test_stops_read_nothing():
    line = Script()
    link = ScpiLink(line)
    link.post(["VOLT 1"], [], now_s=5.0)
    link.send_unanswered(["OUTP1 OFF", "OUTP2 OFF"])
    assert line.written[-2:] == ["OUTP1 OFF", "OUTP2 OFF"]
    assert line.waited_s == []


def test_a_link_that_broke_is_opened_again():
    line = Script("1")
    link = ScpiLink(line)
    line.lost = True
    with pytest.raises(LinkLost):
        link.send_unanswered(["OUTP1 OFF"])
    link.reconnect()
    assert link.ask("OUTP1?", parse_switch) is True
    assert link.resynchronisations == 1
    link.close()
    assert line.lost
