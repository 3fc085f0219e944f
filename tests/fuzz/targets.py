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
import re
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from devices import nic2_wire
from devices import nidaq_wire as card_wire
from devices import synthpal_wire as wire
from devices.emulators.faults import FROM_POWER_ON_S, parse_faults
from devices.emulators.synthpal_bench import FAULTS
from devices.transport import Transport
from tacs.by_hand import Sheet, sheet_of
from tacs.clock import Moment
from tacs.double_entry import Entry, differences
from tacs.driver import DeviceName
from tacs.errors import DeviceError, DeviceNotFound, FileProblems, InputError, RecordError
from tacs.ledger import Ledger
from tacs.ledger_damage import ledger_damage
from tacs.ledger_renewal import renewed
from tacs.limits import effective_limits
from tacs.protocol import Protocol
from tacs.record import GENESIS, Line, canonical, chain_hash, read_lines
from tacs.rig import Rig, shipped_rigs
from tests.tacs.hand import hand_rig
from tests.tacs.ledgers import PastSite
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
    in_campaign : bool
        Whether it is quick enough for millions of inputs.
    """

    name: str
    parse: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    allowed: tuple[type[Exception], ...]
    tokens: tuple[bytes, ...] = TEXT_TOKENS
    in_campaign: bool = True


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


@functools.cache
def slot(name: str) -> tuple[Path, int]:
    """A file that inputs take turns in, and its open descriptor."""
    path = folder() / name
    return path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)


def as_file(name: str, content: bytes) -> Path:
    """Put an input where a parser of files finds it; making a file for each takes longer."""
    path, fd = slot(name)
    os.ftruncate(fd, os.pwrite(fd, content, 0))
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


@functools.cache
def damageable() -> tuple[Ledger, tuple[bytes, ...], frozenset[str]]:
    """A site with three sessions, its ledger, and whose sessions its anchors tell of."""
    site = PastSite(folder() / "damaged-data", folder() / "damaged-site", NOW - timedelta(days=30))
    contents = []
    for i, subject in enumerate(("P01", "P02", "P03")):
        site.session(subject, "01", NOW - timedelta(days=3, hours=-30 * i))
        contents.append(site.ledger.path.read_bytes())
    return site.ledger, tuple(contents[::-1]), frozenset({"P01", "P02", "P03"})


def damaged_ledger(content: bytes) -> None:
    """A ledger on its way to being begun anew: whatever it was, nobody who had a dose is lost."""
    place, _, subjects = damageable()
    as_file(f"damaged-site/{place.path.name}", content)
    now = Moment(NOW)
    damage = ledger_damage(place.path.parent, emulated=False, now=now)
    if damage is None:
        return
    said = {"operator": "A", "role": "B", "reason": "C"}
    lines, problem = read_lines(renewed(damage, said, None, now))
    if problem is not None:
        raise Accepted(f"the new ledger does not verify: {problem}")
    read = InMemory(lines)
    for subject in subjects:
        if not read.history(subject, now).sessions:
            raise Accepted(f"the session of {subject} is forgotten")


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


def card_answers() -> list[bytes]:
    """Answers of a card to its first question, whole, cut, doubled and with noise before them."""
    made = []
    for status, payload in ((0, struct.pack("<BQiI", 1, 320, 0, 1)), (-200290, b"dry"), (0, b"")):
        told = struct.pack("<i", status) + payload
        body = b"ni" + struct.pack("<BBI", 1, card_wire.STATE, len(told)) + told
        whole = body + struct.pack("<I", zlib.crc32(body))
        made += [whole, b"\x00n" + whole, whole[:-3], whole + whole]
    return made


def card(content: bytes) -> None:
    """A card's answers: what is taken for one has its checksum, and is somewhere in the bytes."""
    link = card_wire.LinkedCard(Canned([content]))
    try:
        state = link.state()
    except DeviceError:
        return
    marks = [k for k in range(len(content)) if content.startswith(b"ni\x01\x05", k)]
    whole = [content[k : k + 33] for k in marks]  # head of 8, status and state of 21, check of 4
    if not any(
        answer[29:] == struct.pack("<I", zlib.crc32(answer[:29]))
        and struct.unpack_from("<QiI", answer, 13) == (state.generated, state.fault, state.starts)
        for answer in whole
    ):
        raise Accepted(f"{state} was answered by nobody")


NIC_ASKS = ("status", "protocol_status", "read_channels", "read_version", "read_settings",
            "read_impedances", "hello")  # fmt: skip


def nic2_replies() -> list[bytes]:
    """A question's number, and what NIC answers it with."""
    lines = (b"04.07\n", b"1.2.3\t00:07:80\tBluetooth\tSTARSTIM8\r\n", b"5000.0 0.0;NaN,12e3\n")
    made = [bytes([n, *reply]) for n in (0, 1, 6) for reply in (b"\xcc", b"\xd0", b"\xd9\xd9")]
    made += [bytes([2, count]) for count in (4, 8, 20, 32)]
    return made + [bytes([3 + n]) + line for n, line in enumerate(lines)]


def nic2(content: bytes) -> None:
    """NIC's answers: a status is one of its codes, a line is one, and an impedance is a number."""
    if not content:
        return
    name, answer = NIC_ASKS[content[0] % len(NIC_ASKS)], content[1:]
    link = nic2_wire.Nic2Link(Canned([answer]))
    link.n_channels = 4
    found = {
        "status": link.status,
        "protocol_status": link.protocol_status,
        "read_channels": link.read_channels,
        "read_version": link.read_version,
        "read_settings": link.read_settings,
        "read_impedances": link.read_impedances,
        "hello": link.hello,
    }[name]()
    if isinstance(found, nic2_wire.Status):
        if answer[:1] != bytes([found]) and name != "hello":
            raise Accepted(f"{found.name} was never said")
        if len(set(answer)) > 1 and name != "hello":
            raise Accepted(f"{found.name} out of {answer[:8].hex()}")
    elif isinstance(found, int):
        if answer[0] != found or not 1 <= found <= nic2_wire.CHANNELS_MAX:
            raise Accepted(f"{found} channels")
    elif name == "read_impedances":
        if len(found) != 4 or any(isinstance(kohm, float) and kohm <= 0.0 for kohm in found):
            raise Accepted(f"impedances {found}")
    elif b"\n" not in answer:
        raise Accepted(f"{found!r} is no whole line")


# -- what a person reads off a panel --------------------------------------------------------------


@functools.cache
def hand_sheet() -> Sheet:
    """What a made panel ought to show."""
    return sheet_of(protocol(), hand_rig())


def entries() -> list[bytes]:
    """What people type, right and wrong."""
    shown = {setting.key: setting.text for setting in hand_sheet().settings}
    made = []
    for changes in ({}, {"frequency": "10.27Hz"}, {"channel_1_amplitude": "2.0 mA p-p"}):
        lines = [f'{key} = "{text}"' for key, text in {**shown, **changes}.items()]
        made.append("\n".join(['by = "A"', "[settings]", *lines, ""]).encode())
    return made


def entry(content: bytes) -> None:
    """An entry of a panel's settings; one that agrees has the very numbers of the sheet."""
    typed = Entry.from_toml(as_file("entry.toml", content))
    if differences(hand_sheet(), (typed, typed)):
        return
    for setting in hand_sheet().settings:
        if setting.number is None:
            continue
        number = re.match(r"\s*\+?([0-9.]+)", typed.settings[setting.key])
        if number is None or Decimal(number[1]) != Decimal(setting.text.split()[0]):
            raise Accepted(f"{setting.key}: {typed.settings[setting.key]!r}")


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
    """Small rigs, after the shipped ones: one loop, and what a second or a monitor adds."""
    shipped = shipped_rigs()
    lines = shipped["emulated-synthpal-1loop"].read_text(encoding="utf-8").splitlines(keepends=True)
    one = "".join(line for line in lines if not line.startswith("#"))
    second = one[one.index("[[channels]]") :].replace("channel = 1", "channel = 2")
    monitored = shipped["emulated-synthpal-monitored"].read_text(encoding="utf-8")
    monitor = monitored[monitored.index("[monitor]") :]
    for name in ("F3", "F4"):
        monitor = re.sub(rf".*electrode = \"{name}\".*\n", "", monitor)
    return [
        one.encode(), (one + second.replace('"Oz"', '"F3"')).encode(), (one + monitor).encode(),
    ]  # fmt: skip


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
    Target(
        "damaged ledger",
        damaged_ledger,
        lambda: damageable()[1],
        (InputError,),
        (b"\n", b'"hash":"', b'"seq":', b"NaN", b"9" * 400, b"\\ud800", b"{", b"null", b'"P09"'),
        in_campaign=False,
    ),
    Target("synthpal wire", synthpal, synthpal_replies, (DeviceError,), (b"S", b"\x00", b"\x01")),
    Target("card wire", card, card_answers, (DeviceError, InputError), (b"ni", b"\x00", b"\x05")),
    Target(
        "nic2 wire",
        nic2,
        nic2_replies,
        (DeviceError, DeviceNotFound),
        (b"\n", b"\t", b"\xcc", b"\xd9", b"nan", b";", b"-1", b"1e999"),
    ),
    Target("protocol file", protocol_file, protocols, (InputError,)),
    Target("rig file", rig_file, rigs, (InputError,)),
    Target("site limits", site_file, lambda: [SITE], (InputError, FileProblems)),
    Target("participant limits", participant_file, lambda: [PARTICIPANT], (InputError,)),
    Target("peak file", peak_file, peaks, (InputError,)),
    Target("settings entry", entry, entries, (InputError,), (b"mA", b"pp", b"Hz", b".", b",")),
    Target("fault", fault, faults, (InputError,), (b"@", b"=", b"nan", b"inf", b"1e999", b"-1")),
    Target("device name", device, devices, (InputError,), (b":", b"emulated", b"\x00")),
)


def _with_monitor() -> tuple[Target, ...]:
    """The current monitor's wire, where it is there."""
    if importlib.util.find_spec("devices.current_monitor_wire") is None:
        return ()
    from tests.fuzz.monitor import TARGET

    return (TARGET,)


def _with_scpi() -> tuple[Target, ...]:
    """The answers of SCPI instruments, where their driver is there."""
    if importlib.util.find_spec("devices.scpi_link") is None:
        return ()
    from tests.fuzz.scpi import TARGET

    return (TARGET,)


def _of_drivers() -> tuple[Target, ...]:
    """The wires of other devices, each in a file of its own."""
    from tests.fuzz import stimjim

    return (stimjim.TARGET,)


def all_targets() -> dict[str, Target]:
    """Return every target by name."""
    found = (*TARGETS, *_with_monitor(), *_with_scpi(), *_of_drivers())
    return {target.name: target for target in found}
