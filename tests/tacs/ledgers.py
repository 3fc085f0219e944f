"""A site whose sessions were run at any time in the past: records, ledger and anchors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tacs.anchors import anchor
from tacs.clock import Moment
from tacs.dataset import SessionPaths, ensure_dataset
from tacs.ledger import Dose, Ledger
from tacs.limits import effective_limits
from tacs.record import GENESIS, canonical, chain_hash
from tacs.safety import person_breaches
from tests.tacs.made import protocol as made_protocol

PROTOCOL = made_protocol()
BOOT = "one start of the computer"


def moment(utc: datetime, zero: datetime) -> Moment:
    """An instant on both clocks of a computer that was started at ``zero``."""
    return Moment(utc, (BOOT, (utc - zero).total_seconds()))


class PastSite:
    """A site with one data set.

    Parameters
    ----------
    dataset, folder : Path
        The data set, and the site's folder.
    zero : datetime
        When the computer was started.
    """

    def __init__(self, dataset: Path, folder: Path, zero: datetime) -> None:
        self.dataset, self.folder, self.zero = ensure_dataset(dataset), folder, zero
        self.ledger = Ledger(folder, emulated=False)

    def at(self, utc: datetime) -> Moment:
        return moment(utc, self.zero)

    def session(
        self, subject: str, session: str, began: datetime, *, anchored: bool = True,
        booked: bool = True, on_s: float = 1200.0, emulated: bool = False,
    ) -> Path:  # fmt: skip
        """Run a session of 20 minutes without a device."""
        paths = SessionPaths.of(self.dataset, subject, session)
        ended = began + timedelta(seconds=on_s)
        first = {
            "emulated": emulated, "subject": subject, "protocol": PROTOCOL.to_data(),
            "limits": dict(effective_limits()), "capabilities": {"soft_stop_s": 0.8},
        }  # fmt: skip
        head = written(
            paths.record,
            ("session", 0.0, began, first),
            ("intent", 1.0, began, {"verb": "start"}),
            ("intent", 1.0, began, {"verb": "set_level", "level": 1.0}),
            ("end", on_s, ended, {"outcome": "done", "delivered": None}),
        )
        ledger = Ledger(self.folder, emulated=emulated)
        ledger.reserve(
            head[0], subject=subject, session=session, dataset=self.dataset, protocol=PROTOCOL,
            now=self.at(began),
        )  # fmt: skip
        if booked:
            dose = Dose(
                current_on_s=on_s, rectified_charge_c={"Oz": 0.75, "Cz": 0.75}, basis="measured"
            )
            ledger.book(
                head[0], dose=dose, outcome="done", ended=ended, head=head[-1], now=self.at(ended)
            )
        if anchored:
            anchor(paths.record, self.folder)
        return paths.record

    def refused(self, subject: str, now: datetime) -> list[str]:
        """What keeps a participant from a session in a new folder."""
        present = self.at(now)
        history = self.ledger.history(subject, present)
        found = person_breaches(
            PROTOCOL, effective_limits(), subject=subject, history=history, now=now
        )
        return [breach.limit for breach in found]


def written(path: Path, *lines: tuple[str, float, datetime, dict[str, Any]]) -> list[str]:
    """Write a record as its writer would have at those times; return the hashes."""
    hashes, content = [GENESIS], ""
    for seq, (kind, t_s, utc, data) in enumerate(lines):
        body = {"seq": seq, "t_s": t_s, "utc": utc.isoformat(), "kind": kind, "data": data}
        hashes.append(chain_hash(hashes[-1], body))
        content += canonical({**body, "hash": hashes[-1]}) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return hashes[1:]


def change_lines(path: Path, change: Callable[[list[bytes]], Any]) -> None:
    """Change a file as a list of lines."""
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    path.write_bytes(b"".join(lines))
