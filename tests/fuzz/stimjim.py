"""The StimJim's replies: what counts as confirmed was said, whole, and about what was asked."""

from __future__ import annotations

import re

from devices.stimjim_lines import SineTrain
from devices.stimjim_wire import StimjimLink
from tacs.errors import DeviceError, DeviceNotFound
from tests.fuzz.targets import Accepted, Canned, Target

LINE = "W99,1,3,20000000,20000000;500,0,20000000;10.27,10.27,0;0,0,0;5000000,3000000,0"
TRAIN = SineTrain.parse(LINE)
IDENTITY = (
    "IDN,stimjimAWG,Teensy3.5,fw=0.8.0,proto=1\n"
    "# build: Teensy3.5, F_CPU=120 MHz\n# engine: PIT channels 0/1\n"
)
COMMENT = "# engine: 1 event(s) were already due\n"
MEASURED = "MDATA,99,0,90,4999.6,499.8,,\nMSUM,99,1,270,-4999.6,,-499.8,,,,,\n"
# What is asked, what is said to it, and what must have been said where it counts as answered.
ASKED = (
    (lambda link: link.define(TRAIN), LINE + "\r\n", re.escape(LINE).replace(";", r"\s*;")),
    (lambda link: link.confirm(TRAIN), LINE + "\r\n", re.escape(LINE)),
    (lambda link: link.start(99), "\r\nStarted T train with parameters of PulseTrain 99\r\n",
     "Started T train with parameters of PulseTrain 99"),
    (lambda link: link.state(), "STAT,99,0,5,20000000,-1,0,0,0\n", r"STAT(,-?\d+){8}"),
    (lambda link: link.read(0), "READ,0,16,1.22,0.10,-0.85,0.00\n",
     r"READ,0,\d+(,-?\d+(\.\d+)?){4}"),
    (lambda link: link.unroute(0), "TRIG0,0,-1,-1,0\r\n", "TRIG0,0,-1,-1,0"),
    (lambda link: link.ground(1), "Set channel 1 to mode 3\r\n", "Set channel 1 to mode 3"),
    (lambda link: link.measure_peaks(99, (True, False)), "MEAS99,3,0,3,-1,1,1\r\n",
     r"MEAS99,3,0,3,-1,1(,[01])?"),
    (lambda link: link.identify(), IDENTITY, r"IDN,stimjimAWG,[^,]*,fw=[^,]*,proto=1"),
)  # fmt: skip


def replies() -> list[bytes]:
    """The number of a question, and what is said to it."""
    made = []
    for number, (_, reply, _) in enumerate(ASKED):
        for before in ("", COMMENT, MEASURED):
            made.append(bytes([number]) + (before + reply).encode())
    return made


def stimjim(content: bytes) -> None:
    """One question, and whatever is said to it."""
    if not content:
        return
    ask, _, said = ASKED[content[0] % len(ASKED)]
    link = StimjimLink(Canned([b"", IDENTITY.encode(), content[1:]]))
    found = ask(link)
    lines = [line.rstrip(b"\r ") for line in content[1:].split(b"\n")]
    texts = [line.decode("utf-8", "replace") for line in lines]
    if not any(re.fullmatch(said, text) or _same_train(text, said) for text in texts):
        raise Accepted(f"counts as answered: {found}")
    for measured in link.take_measurements():
        if not any(text.startswith(("MDATA,", "MSUM,")) for text in texts):
            raise Accepted(f"measured by nobody: {measured}")


def _same_train(text: str, said: str) -> bool:
    """Whether a line is the train in another writing, such as 10.270."""
    if not said.startswith("W"):
        return False
    try:
        return SineTrain.parse(text) == TRAIN
    except ValueError:
        return False


TARGET = Target(
    "stimjim wire",
    stimjim,
    replies,
    (DeviceError, DeviceNotFound),
    (b"\n", b"\r", b",", b";", b"ERR ", b"WARN T: ", b"99", b"-1", b"\xe2\x80\x94", b"x" * 1000),
)
