"""What our own parsers are given: bytes in, and nothing out but a refusal of the suite's own.

Every target is a function of bytes. It returns, or raises an error that a caller is told to expect
(``allowed``); anything else that comes out is a defect. Where an input can be told to be corrupt (a
chain, a checksum, a confirmation), the target raises :class:`Accepted` when it was taken for good.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib.util
import json
import os
import random
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from devices import synthpal_wire as wire
from devices.emulators.faults import FROM_POWER_ON_S, parse_faults
from devices.emulators.synthpal_bench import FAULTS
from devices.transport import Transport
from tacs.clock import Moment
from tacs.driver import DeviceName
from tacs.errors import DeviceError, FileProblems, InputError, RecordError
from tacs.ledger import Ledger
from tacs.limits import effective_limits
from tacs.protocol import Protocol
from tacs.record import GENESIS, Line, canonical, chain_hash, read_lines
from tacs.rig import Rig, shipped_rigs
from tests.tacs.made import individual_data, peak, protocol

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEXT_TOKENS = (
    b"nan", b"inf", b"-inf", b"1e999", b"-0.0", b"0", b"-1", b"9" * 400, b"true", b"null", b'""',
    b"[]", b"{}", b"[[", b"]]", b"[" * 2000, b"{" * 200, b'"', b"'''", b"\\u0000", b"\\ud800",
    b"=", b"\n", b"\r", b"\xef\xbb\xbf", b"\xff", b"..", b"#", b"__proto__", b"2026-01-01",
)  # fmt: skip


class Accepted(AssertionError):  # noqa: N818 - what happened, not an error of the program
    """A corrupt input was taken for a good one."""


@dataclass(frozen=True, slots=True)
class Target:
    """One parser.

    Parameters
    ----------
    name : str
        For tables.
    parse : callable
        Given bytes.
    seeds : callable
        Good inputs.
    allowed : tuple of exception classes
        What it may raise.
    tokens : tuple of bytes
        What its format is sensitive to.
    """

    name: str
    parse: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    allowed: tuple[type[Exception], ...]
    tokens: tuple[bytes, ...] = TEXT_TOKENS


@functools.cache
def folder() -> Path:
    """A folder of this process, in memory where the system has such a place; gone at its end.

    A process that is ended without cleaning up is given one by its parent, in ``FUZZ_FOLDER``.
    """
    if given := os.environ.get("FUZZ_FOLDER"):
        return Path(given)
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    made = tempfile.mkdtemp(prefix="fuzz-", dir=place)
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def as_file(name: str, content: bytes) -> Path:
    """Put an input where a parser of files finds it."""
    path = folder() / name
    path.write_bytes(content)
    return path


# -- chained lines ---------------------------------------------------------------------------------


@functools.cache
def records() -> tuple[bytes, ...]:
    """Small records."""
    first = {"subject": "01", "emulated": True, "protocol": protocol().to_data()}
    lines: tuple[tuple[str, float, dict[str, Any]], ...] = (
        ("intent", 0.1, {"verb": "start", "lease_s": 1.0}),
        ("intent", 0.12, {"verb": "set_level", "level": 0.000667}),
        ("answer", 0.5, {"verb": "status", "playing": [0], "level": 1e-07, "text": "µ \\ \u2028"}),
        ("state", 1.0, {"from": "ramp_up", "to": "hold"}),
        ("end", 2.0, {"outcome": "done", "delivered": None}),
    )
    return (*(chained(lines[:n]) for n in (1, 2, 3)), chained((("session", 0.0, first), *lines)))


def chained(lines: Iterable[tuple[str, float, Mapping[str, Any]]]) -> bytes:
    """Lines as the writer writes them, the same in every process: all at one instant."""
    previous, content = GENESIS, ""
    for seq, (kind, t_s, data) in enumerate(lines):
        body = {"seq": seq, "t_s": t_s, "utc": NOW.isoformat(), "kind": kind, "data": data}
        previous = chain_hash(previous, body)
        content += canonical({**body, "hash": previous}) + "\n"
    return content.encode()


def read_chain(content: bytes, good: Sequence[bytes]) -> list[Line]:
    """Read chained lines; nothing but the beginning of a good file may verify."""
    lines, problem = read_lines(content)
    verified = content if problem is None else _first_lines(content, len(lines))
    if not any(seed.startswith(verified) for seed in good) and not is_forged(verified):
        raise Accepted(f"{len(lines)} lines verify that nobody wrote")
    if problem is not None and not content.endswith(b"\n"):
        whole, torn = read_lines(content, allow_torn_tail=True)
        if whole != lines or (torn is None) != (verified == content[: content.rfind(b"\n") + 1]):
            raise Accepted(f"with a torn tail other lines verify: {torn}")
    if problem is not None:
        raise RecordError(problem)
    return lines


def is_forged(content: bytes) -> bool:
    """Whether every hash is right by the rule itself, computed here without the suite's reader.

    A chain without a secret can be computed by anybody: libFuzzer reads the right hash off the
    comparison and puts it in. That is no corruption; the anchors are there against it.
    """
    previous = GENESIS
    for number, raw in enumerate(content.split(b"\n")[:-1]):
        body = json.loads(raw)
        told = body.pop("hash")
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        previous = hashlib.sha256((previous + text).encode()).hexdigest()
        if told != previous or body["seq"] != number:
            return False
    return content.endswith(b"\n")


def _first_lines(content: bytes, n: int) -> bytes:
    end = 0
    for _ in range(n):
        end = content.index(b"\n", end) + 1
    return content[:end]


def record(content: bytes) -> None:
    """The record reader."""
    read_chain(content, records())


@functools.cache
def ledgers() -> tuple[bytes, ...]:
    """Small ledgers as the ledger writes them."""
    made = []
    for n in (1, 3):
        place = folder() / f"site-{n}"
        ledger = Ledger(place, emulated=True)
        for i in range(n):
            began = Moment(NOW - timedelta(days=9 - i))
            ledger.reserve(
                f"key-{i}", subject=f"P0{i % 2}", session=f"{i}", dataset=Path("/data"),
                protocol=protocol(), now=began,
            )  # fmt: skip
        made.append(chained((x.kind, x.t_s, x.data) for x in ledger.lines()))
        shutil.rmtree(place)
    return tuple(made)


class InMemory(Ledger):
    """A ledger that was read already."""

    def __init__(self, lines: list[Line]) -> None:
        super().__init__(folder() / "no-such-site", emulated=True)
        self._read = lines

    def lines(self) -> list[Line]:
        return self._read


def ledger(content: bytes) -> None:
    """The ledger's reader, and what a participant has had by it."""
    InMemory(read_chain(content, ledgers())).history("P00", NOW)


# -- what a device says ----------------------------------------------------------------------------


class Canned(Transport):
    """Answers every write with the next of some bytes."""

    address = "canned"

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers
        self._waiting = b""

    def write(self, data: bytes) -> None:
        if self._answers:
            self._waiting += self._answers.pop()

    def read(self, n: int, timeout_s: float) -> bytes:
        data, self._waiting = self._waiting[:n], self._waiting[n:]
        return data

    def discard_input(self) -> None:
        self._waiting = b""

    def close(self) -> None:
        self._waiting = b""


def _values(command: wire.Command) -> tuple[int | bytes, ...]:
    return struct.unpack(f"<{command.payload}", bytes(struct.calcsize(f"<{command.payload}")))


ASKABLE = tuple((c, _values(c)) for c in wire.COMMANDS if c.reply)


def synthpal_replies() -> list[bytes]:
    """A command's number, how much of the rest answers it, and the answers."""
    draw = random.Random(4)
    hello = b"S\x01\x00\x00\x00"
    made = []
    for number, (command, _) in enumerate(ASKABLE):
        reply = bytes([1]) + draw.randbytes(command.reply_size - 1)
        made.append(bytes([number, len(reply)]) + reply + hello)
        made.append(bytes([number, len(reply) - 1]) + reply[:-1] + hello + hello)
    return made


def synthpal(content: bytes) -> None:
    """The Synth Pal's replies: what is confirmed was confirmed, whole, and in step."""
    if len(content) < 2:
        return
    command, values = ASKABLE[content[0] % len(ASKABLE)]
    answer, rest = content[2 : 2 + content[1]], content[2 + content[1] :]
    link = wire.SynthPalLink(Canned([rest[5:], rest[:5], answer]))
    try:
        fields = link.ask(command, *values)
    except DeviceError:
        if len(answer) == command.reply_size and (answer[0] == 1 or not command.confirmed):
            raise Accepted("a whole answer was refused") from None
    else:
        if len(answer) < command.reply_size or (command.confirmed and answer[0] != 1):
            raise Accepted(f"{command.name} counts as answered")
        if fields != command.decode(answer[: command.reply_size]):
            raise Accepted(f"{command.name}: other fields than those sent")
    again = link.ask(wire.STATUS)
    if len(answer) != command.reply_size and not link.resynchronisations:
        raise Accepted(f"after an answer that is too long or short: {again}")


# -- files of settings -----------------------------------------------------------------------------


def protocols() -> list[bytes]:
    """Protocols as they are written."""
    sham = protocol(waveform="active_sham", sham_plateau_s=5.0, blinding={"label": "A"})
    made = []
    for item in (protocol(), protocol(individual=individual_data()), sham):
        path = folder() / "seed.toml"
        item.to_toml(path)
        made.append(path.read_bytes())
    return made


def protocol_file(content: bytes) -> None:
    """A protocol; what is accepted must survive being written and read again."""
    found = Protocol.from_toml(as_file("protocol.toml", content))
    if Protocol.from_data(found.to_data(), "again") != found:
        raise Accepted("another protocol after being written and read")


def rig_file(content: bytes) -> None:
    """A rig."""
    Rig.from_toml(as_file("rig.toml", content))


def rigs() -> list[bytes]:
    """The shipped rigs."""
    return [path.read_bytes() for path in shipped_rigs().values()]


SITE = (
    b'site = "made"\napproved_by = "N"\nreason = "r"\n[limits]\nelectrode_current_peak_ma = 1.5\n'
)
PARTICIPANT = b'subject = "P01"\n[limits]\nelectrode_current_peak_ma = 0.5\nlease_ttl_s = 0.5\n'


def site_file(content: bytes) -> None:
    """A site's limits; none may get past its ceiling."""
    _within_ceilings(effective_limits(as_file("site.toml", content)))


def participant_file(content: bytes) -> None:
    """A participant's limits; none may get looser."""
    found = effective_limits(None, as_file("participant.toml", content))
    plain = effective_limits()
    from tacs.limits import LIMITS

    for name, value in found.items():
        if not LIMITS[name].allows(value, plain[name]):
            raise Accepted(f"{name}: {value} is looser than {plain[name]}")


def _within_ceilings(found: Mapping[str, float]) -> None:
    from tacs.limits import LIMITS

    for name, value in found.items():
        if not LIMITS[name].allows(value, LIMITS[name].ceiling):
            raise Accepted(f"{name}: {value} is past its ceiling")


def peaks() -> list[bytes]:
    """A peak as ``tacs peak --json`` writes it."""
    return [json.dumps(peak().to_dict()).encode()]


def peak_file(content: bytes) -> None:
    """A peak; what is found must be a number."""
    from tacs.planning import read_peak

    found = read_peak(as_file("peak.json", content))
    if found.status == "found" and not (found.frequency_hz or 0.0) > 0.0:
        raise Accepted(f"found at {found.frequency_hz} Hz")


# -- words of the command line ---------------------------------------------------------------------


def fault(content: bytes) -> None:
    """A fault to rehearse."""
    text = content.decode("utf-8", "replace")
    for item in parse_faults([text], FAULTS, ("Oz", "Cz"), monitored=True):
        if not 0.0 <= item.at_s < float("inf") and item.at_s != FROM_POWER_ON_S:
            raise Accepted(f"{text!r}: at {item.at_s} s")


def faults() -> list[bytes]:
    """Every fault, with and without time and value."""
    values = ("", "=1", "=Oz", "=Oz:5", "=0.5", "@3=1.5", "@3", "@3=Cz", "=Cz,20")
    return [f"{name}{value}".encode() for name in FAULTS for value in values]


def device(content: bytes) -> None:
    """A device's name."""
    DeviceName.parse(content.decode("utf-8", "replace"))


def devices() -> list[bytes]:
    """Names of devices."""
    return [b"emulated:synthpal", b"synthpal:/dev/ttyACM0", b"synthpal:COM3", b"a:socket://h:1"]


TARGETS: tuple[Target, ...] = (
    Target("record", record, records, (RecordError,), (b"\n", b'"hash":"', b'"seq":', b"0", b"{")),
    Target("ledger", ledger, ledgers, (RecordError,), (b"\n", b'"hash":"', b'"seq":', b"0", b"{")),
    Target("synthpal wire", synthpal, synthpal_replies, (DeviceError,), (b"S", b"\x00", b"\x01")),
    Target("protocol file", protocol_file, protocols, (InputError,)),
    Target("rig file", rig_file, rigs, (InputError,)),
    Target("site limits", site_file, lambda: [SITE], (InputError, FileProblems)),
    Target("participant limits", participant_file, lambda: [PARTICIPANT], (InputError,)),
    Target("peak file", peak_file, peaks, (InputError,)),
    Target("fault", fault, faults, (InputError,), (b"@", b"=", b"nan", b"inf", b"1e999", b"-1")),
    Target("device name", device, devices, (InputError,), (b":", b"emulated", b"\x00")),
)


def _with_monitor() -> tuple[Target, ...]:
    """The current monitor's wire, where it is there."""
    if importlib.util.find_spec("devices.current_monitor_wire") is None:
        return ()
    from tests.fuzz.monitor import TARGET

    return (TARGET,)


def _of_drivers() -> tuple[Target, ...]:
    """The wires of other devices, each in a file of its own."""
    from tests.fuzz import stimjim

    return (stimjim.TARGET,)


def all_targets() -> dict[str, Target]:
    """Return every target by name."""
    return {target.name: target for target in (*TARGETS, *_with_monitor(), *_of_drivers())}
