"""The record of a blinded session: an open one that tells nothing of the arm, and a sealed one.

The open record is an ordinary hash-chained record at the ordinary path. What may stand in it is a
list (``OPEN_FIELDS`` and what the class below lets through); everything else goes to
the sealed file alone. The sealed file holds the whole record, line by line as it would have been
without blinding, for the statistician.

Neither count, nor size, nor order, nor time of anything in the open files follows the arm:

* The open record has a line every half second, whatever happens, and beside these only what every
  arm has: connected, checked, armed, started, the operator's stop, a fault, the end.
* Its times are those of the half-second grid, and its wall-clock labels follow from them: the
  instant at which a line was really written tells how often the level moves.
* The sealed file grows by one block of one size at every half second.
* The end is written as if at a fixed time after the planned end, or after the stop; what the device
  took to fall silent differs between the arms by some hundredths of a second. Whoever closes the
  session waits until :attr:`BlindedRecord.closing_s` before anybody sees it closed. What cannot be
  set is the time at which a file system says that an entry changed last: without that wait it
  tells those hundredths.

A stop whose cause is a measurement or the device is told as what it is, a fault or a stop, without
the cause: in a silent arm some causes cannot arise.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tacs.background_sync import BackgroundSync
from tacs.clock import utc_now
from tacs.errors import InputError, RecordError
from tacs.protocol import Protocol
from tacs.record import (
    GENESIS,
    LATE_AFTER_S,
    LINE_BYTES_MAX,
    RecordWriter,
    canonical,
    chain_hash,
    read_record,
)
from tacs.safety import cautions
from tacs.sealing import SealedWriter, sealed_digest, sealed_heads

__all__ = [
    "WITHHELD",
    "BlindedRecord",
    "check_against_open",
    "seal_file",
    "sealed_path",
    "trace_bound",
    "visible_cause",
]

SLOT_S = 0.5  # one open line and one sealed block
CLOSING_S = 2.5  # from the planned end, or a stop, to the end as it is written; covers a soft stop
SPARE_BLOCKS = 4  # after the last slot, for what is left over
WITHHELD = "withheld until unblinding"
FILE_BLOCK_BYTES = 65536

# The first line: what was planned and with what, all of it settled before an arm was known.
OPEN_FIELDS = frozenset(
    {
        "suite", "subject", "session", "device", "address", "emulated", "clock", "clock_zero_s",
        "operator", "role", "overrides", "titrate", "faults", "rig", "limits", "limits_set_by",
        "limits_sha256", "capabilities",
    }
)  # fmt: skip
BEFORE_ARM = frozenset({"connected", "checked", "armed"})
SEEN_STOPS = frozenset({"stopping", "fault"})
STOPS = SEEN_STOPS | {"stopped"}
OPERATOR_CAUSES = frozenset(
    {
        "the STOP key", "the operator", "the operator side fell silent",
        "SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK",
    }
)  # fmt: skip
# What an operator must know and no arm has more of than another.
TOLD = (
    "unknown message ",
    "the record failed",
    "the guardian stalled",
    "the clock went back",
)
NOT_CONFIRMED = "the device did not confirm the stop"


def visible_cause(cause: str, said: Collection[str] = ()) -> str:
    """Return a cause as a blinded person may read it.

    Parameters
    ----------
    cause : str
        Of a stop or a fault; empty where there was none.
    said : collection of str
        What the operator gave as causes, in own words.

    Returns
    -------
    str
        The same where a person caused it, in short where this computer did, else that it is
        withheld.
    """
    if not cause or cause in OPERATOR_CAUSES or cause in said:
        return cause
    first, _, rest = cause.partition("; ")
    if rest == NOT_CONFIRMED and (first in OPERATOR_CAUSES or first in said):
        return cause
    return next((told.strip() for told in TOLD if cause.startswith(told)), WITHHELD)


def sealed_path(record: str | Path) -> Path:
    """Return where the sealed file of a record lies: beside it, under the same name."""
    return Path(record).with_suffix(".sealed")


class BlindedRecord(RecordWriter):
    """Append lines to an open and a sealed record at once.

    Parameters
    ----------
    path : path
        Of the open record; must not exist, and no sealed file beside it.
    planned : Protocol
        The protocol as planned, the same for every arm; stands in the open first line.
    public_key : bytes
        The statistician's.

    Raises
    ------
    InputError
        One of the two files exists, or cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        planned: Protocol,
        public_key: bytes,
        now_s: Callable[[], float] | None = None,
    ) -> None:
        sealed = sealed_path(path)
        if sealed.exists():
            raise InputError(f"{sealed}: is there already; it belongs to another record, move both")
        super().__init__(path, now_s=now_s)
        try:
            self._full = _FullRecord(sealed, public_key)
        except InputError:
            super().close()
            self.path.unlink(missing_ok=True)
            raise
        self._planned = planned
        now = utc_now()
        self._began = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._slot = 0
        self._ends_s = math.inf
        self._stop_s = math.inf
        self._said: set[str] = set()
        self._ended = False

    @property
    def closing_s(self) -> float:
        """Session time at which the session counts as closed, the same in every arm.

        On the grid, after the planned end or after the stop, whichever comes first; infinite
        before the start.
        """
        over_s = min(self._ends_s, self._stop_s)
        return over_s if math.isinf(over_s) else _up_to_grid(over_s + CLOSING_S)

    def start_background(self, late_after_s: float = LATE_AFTER_S) -> None:
        """Sync both files in a thread from here on; :meth:`sync` then only asks for it.

        Parameters
        ----------
        late_after_s : float
            As for :meth:`RecordWriter.start_background`.
        """
        if self._background is not None:
            return
        files = (self._full.descriptor(), os.dup(self._fd))

        def sync() -> None:
            for fd in files:
                os.fsync(fd)

        def close() -> None:
            for fd in files:
                os.close(fd)

        self._late_after_s, self._first_line = late_after_s, self._seq
        self._background = BackgroundSync(sync, self._now, close)

    def sync(self) -> None:
        """Have everything written so far on disk, or ask for it where a thread syncs.

        Raises
        ------
        RecordError
            As :meth:`RecordWriter.sync`.
        """
        if not self._ended:
            self._full.stage()
        super().sync()

    def close(self) -> None:
        """Close both files; where no end was written, they stay as a crash would leave them."""
        if self._fd < 0:
            return
        if not self._ended:
            with contextlib.suppress(RecordError):
                self._full.sync()
        super().close()
        self._full.close()
        # When a file was written last would tell what its times do not.
        label = (self._began + timedelta(seconds=self._slot * SLOT_S)).timestamp()
        for path in (self.path, self._full.path):
            os.utime(path, (label, label))

    def _sync_now(self) -> None:
        if not self._ended:
            self._full.sync()
        super()._sync_now()

    def _write_line(self, kind: str, t_s: float, data: Mapping[str, Any]) -> None:
        """Write one line to the sealed record, and what every arm has of it to the open one."""
        if self._ended:
            if kind != "gap":
                raise RecordError(f"{self.path}: was ended; nothing can follow")
            self._open_line(kind, {"waited_s": data.get("waited_s")})
            return
        if kind == "end":
            self._end(t_s, data)
            return
        self._advance(t_s)
        self._note(kind, t_s, data)
        shown = self._shown(kind, data)
        length = self._full.add(kind, t_s, data)
        if shown is not None:
            try:
                self._open_line(kind, shown)
            except RecordError:
                self._full.take_back(length)
                raise
        self._t_s = t_s
        if self._background is not None:
            self._background.written(self._now())

    def _advance(self, t_s: float) -> None:
        """Write the lines and blocks of every half second that is over."""
        while (self._slot + 1) * SLOT_S <= t_s + 1e-9:
            self._full.block()
            self._slot += 1
            try:
                self._open_line("heartbeat", {"sealed": self._full.head})
            except RecordError:
                self._slot -= 1
                raise

    def _note(self, kind: str, t_s: float, data: Mapping[str, Any]) -> None:
        """Keep when the session ends, and what the operator said."""
        if kind == "intent" and data.get("verb") == "start":
            self._ends_s = t_s + self._planned.duration_s
        elif kind == "state" and data.get("to") in STOPS:
            self._stop_s = min(self._stop_s, t_s)
        elif kind == "operator" and data.get("did") == "stop":
            self._said.add(str(data.get("text", "")))

    def _shown(self, kind: str, data: Mapping[str, Any]) -> dict[str, Any] | None:
        """What the open record has of a line, or None."""
        if kind == "session":
            return self._opening(data)
        if kind == "intent" and data.get("verb") == "start":
            return {"verb": "start"}
        if kind == "operator":
            return {"did": str(data.get("did", "")), "text": str(data.get("text", ""))}
        if kind == "gap":
            # Which lines waited would tell how many the sealed record has.
            return {"waited_s": data.get("waited_s")}
        if kind == "state" and data.get("to") in BEFORE_ARM | SEEN_STOPS:
            cause = visible_cause(str(data.get("cause", "")), self._said)
            return {"to": data["to"], **({"cause": cause} if cause else {})}
        return None

    def _opening(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The first line with the protocol as planned; a sham's own cautions are fewer."""
        told = cautions(self._planned)
        return {
            **{name: data[name] for name in OPEN_FIELDS & data.keys()},
            "protocol": self._planned.to_data(),
            "protocol_sha256": self._planned.sha256(),
            "cautions": [*told, *(c for c in data.get("cautions", ()) if c not in told)],
            "sealed": self._full.path.name,
        }

    def _end(self, t_s: float, data: Mapping[str, Any]) -> None:
        """End the sealed record, then the open one with the sealed one's hash in it."""
        refused = data.get("outcome") == "refused"
        until_s = t_s if math.isinf(self.closing_s) else max(t_s, self.closing_s)
        self._advance(_up_to_grid(until_s))
        self._full.add("end", t_s, data)
        self._full.finish(self._slot + SPARE_BLOCKS)
        cause = str(data.get("cause", ""))
        shown = {
            "outcome": data.get("outcome"),
            # Before the start nothing differs between the arms, and the operator must mend it.
            "cause": cause if refused else visible_cause(cause, self._said),
            "delivered": None,
            "blinded": True,
            "sealed": sealed_digest(self._full.path),
        }
        self._ended = True
        self._open_line("end", shown)

    def _open_line(self, kind: str, data: Mapping[str, Any]) -> None:
        """Write one line of the open record, at the time of the grid.

        Raises
        ------
        RecordError
            The line could not be written whole.
        """
        t_s = self._slot * SLOT_S
        label = self._began + timedelta(seconds=t_s)
        digest, payload = _line(self._previous, self._seq, t_s, label, kind, data)
        try:
            self._write(payload)
        except OSError as exc:
            raise self._refused(exc) from exc
        self._previous, self._seq = digest, self._seq + 1


class _FullRecord:
    """The whole record, as it would be without blinding, inside a sealed file."""

    def __init__(self, path: Path, public_key: bytes) -> None:
        self._sealed = SealedWriter(path, public_key)
        self._chain = [(GENESIS, 0)]
        self.path = path
        self.block = self._sealed.block
        self.stage = self._sealed.stage
        self.sync = self._sealed.sync
        self.descriptor = self._sealed.descriptor
        self.finish = self._sealed.finish
        self.close = self._sealed.abandon

    @property
    def head(self) -> str:
        """Chain over the sealed blocks."""
        return self._sealed.head

    def add(self, kind: str, t_s: float, data: Mapping[str, Any]) -> int:
        """Take one line; return its length."""
        previous, seq = self._chain[-1]
        digest, payload = _line(previous, seq, round(t_s, 6), utc_now(), kind, data)
        self._chain = [self._chain[-1], (digest, seq + 1)]
        self._sealed.put(payload)
        return len(payload)

    def take_back(self, length: int) -> None:
        """Forget the last line, which no block holds yet."""
        self._chain = self._chain[:1]
        self._sealed.take_back(length)


def check_against_open(sealed: str | Path) -> str | None:
    """Hold a sealed record against the open record beside it.

    Anybody can seal with a public key; that this file is the one that the session wrote is shown by
    what the open record says of it.

    Parameters
    ----------
    sealed : path
        As :func:`sealed_path` names it; where no open record lies beside it there is nothing to
        hold it against.

    Returns
    -------
    str or None
        What is wrong, or None.
    """
    record = Path(sealed).with_suffix(".jsonl")
    if not record.exists():
        return None
    lines, problem = read_record(record, allow_torn_tail=True)
    if problem is not None:
        return f"{record}: {problem}"
    told = next((line.data.get("sealed") for line in lines if line.kind == "end"), None)
    if told is not None:
        same = told == sealed_digest(sealed)
        return None if same else f"is not the file that {record} was closed with"
    beats = [line.data.get("sealed") for line in lines if line.kind == "heartbeat"]
    if beats and beats[-1] not in sealed_heads(sealed):
        return f"is not the file that was written along with {record}"
    return f"{record}: was not closed with this file; the session was interrupted"


def seal_file(
    source: str | Path, target: str | Path, public_key: bytes, *, padded_to: int
) -> dict[str, object]:
    """Seal a file, at a size that does not depend on its own, and remove the clear one.

    The clear file goes only once the sealed one is on disk. Its bytes are unlinked, not wiped.

    Parameters
    ----------
    source : path
        Clear file.
    target : path
        Must not exist.
    public_key : bytes
        The statistician's.
    padded_to : int
        Bytes to pad the content to; a function of what was planned.

    Returns
    -------
    dict
        As :func:`tacs.sealing.sealed_digest`.

    Raises
    ------
    InputError
        The file cannot be read, does not fit, or the target exists; the clear file stays.
    RecordError
        The disk refused the sealed file; the clear file stays.
    """
    source, target = Path(source), Path(target)
    try:
        size = source.stat().st_size
    except OSError as exc:
        raise InputError(f"{source}: cannot be read ({exc.strerror})") from exc
    if size > padded_to:
        raise InputError(
            f"{source}: has {size} bytes, more than the {padded_to} that its sealed file is padded "
            f"to; it was left in the clear"
        )
    sealed = SealedWriter(target, public_key, block_bytes=FILE_BLOCK_BYTES, pack=False)
    try:
        with sealed, source.open("rb") as clear:
            while chunk := clear.read(sealed.room):
                sealed.put(chunk)
                if len(chunk) == sealed.room:
                    sealed.block()
            sealed.finish(padded_to // sealed.room + 1)
        source.unlink()
    except (OSError, RecordError) as exc:
        if source.exists():
            target.unlink(missing_ok=True)
        raise RecordError(f"{source}: cannot be sealed ({exc}); it was left in the clear") from exc
    return sealed_digest(target)


def trace_bound(duration_s: float, n_electrodes: int, *, rate_hz: float = 1000.0) -> int:
    """Return the largest size that the compressed trace of a session can have, in bytes.

    A value takes at most eight characters of an alphabet of thirteen: at most four bits each, which
    is what any Huffman code does not exceed by more than its tables. While no current flows the
    trace compresses to next to nothing; a fixed allowance covers hours of waiting.

    Parameters
    ----------
    duration_s : float
        As planned; the stop ramp and the lease are in the margin of ten seconds.
    n_electrodes : int
        Columns.
    rate_hz : float
        Samples per second.
    """
    return int(4.25 * rate_hz * (duration_s + 10.0) * n_electrodes) + 2**20


def _up_to_grid(t_s: float) -> float:
    return SLOT_S * math.ceil(t_s / SLOT_S - 1e-9)


def _line(
    previous: str, seq: int, t_s: float, utc: datetime, kind: str, data: Mapping[str, Any]
) -> tuple[str, bytes]:
    """One line of a record: its hash, and as it is written.

    Raises
    ------
    RecordError
        The data hold what JSON cannot.
    """
    label = utc.isoformat(timespec="milliseconds")
    body = {"seq": seq, "t_s": t_s, "utc": label, "kind": kind, "data": data}
    try:
        digest = chain_hash(previous, body)
        payload = (canonical({**body, "hash": digest}) + "\n").encode()
    except (TypeError, ValueError) as exc:
        raise RecordError(f"{kind} holds what JSON cannot ({exc})") from exc
    if len(payload) > LINE_BYTES_MAX:
        raise RecordError(f"{kind} is too long for a line ({len(payload)} bytes)")
    return digest, payload
