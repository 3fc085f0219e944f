"""The allocation of a study: who gets which arm, made outside the team and handed over closed.

The statistician makes the table from a design, or brings one made elsewhere, and gets three files:

* ``STUDY_study.toml`` for every computer of the study. Each slot of the table is a box of its own
  (XSalsa20-Poly1305, PyNaCl's ``SecretBox``), all of one size; it also has the statistician's
  public key and a salted hash that commits to the table.
* ``STUDY_site.key``, which opens the slots, for the site's own folder; it travels by another way.
* ``STUDY_table.sealed`` with the table, its seed and its salt, which only the statistician opens;
  after the end of the study it shows that the table is the one that the hash committed to.

Permuted blocks of random size, one sequence for each stratum.

References
----------
Schulz and Grimes 2002, *Lancet* 359:515-519 and 614-618: generation and concealment of allocation.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tacs.errors import FileProblems, InputError
from tacs.files import StrictModel, read_toml
from tacs.protocol import Label
from tacs.record import canonical
from tacs.sealing import SealedWriter, open_sealed, pad_to, unpad

__all__ = ["Arm", "Design", "Slot", "Study", "Table", "allocate", "open_table", "read_table"]

SLOT_BYTES = 512
TABLE_BYTES_PER_SLOT = 256
SITE_KEY = "tacs-suite site key: opens the slots of one study, stays in the site's folder"
COLUMNS = {
    "number": ("number", "sequence", "redcap_randomization_number"),
    "stratum": ("stratum", "strata"),
    "arm": ("arm", "redcap_randomization_group"),
}


class Arm(StrictModel):
    """One arm: what current its participants get instead of, or as, the planned one."""

    code: Label = Field(description="the statistician's name for it")
    waveform: Literal["tacs", "active_sham", "passive_sham"]
    sham_plateau_s: float | None = Field(
        default=None, ge=0.0, description="active sham: time at full current, in seconds"
    )
    share: int = Field(default=1, ge=1, description="weight in the allocation ratio")

    @classmethod
    def problems_between(cls, data: Mapping[str, Any]) -> list[str]:
        """List what is missing from, or too much in, an active sham."""
        sham, stated = data.get("waveform") == "active_sham", "sham_plateau_s" in data
        if sham and not stated:
            return ["sham_plateau_s: missing (seconds); an active sham states its plateau"]
        if stated and not sham and data["sham_plateau_s"] is not None:
            return ["sham_plateau_s: only an active_sham has one; leave it out"]
        return []


class Stratum(StrictModel):
    """One stratum, with the participants planned for it."""

    name: Label
    planned: int = Field(ge=1, description="participants planned")


class Design(StrictModel):
    """What the statistician decides before the table is drawn."""

    study: Label = Field(description="name of the study, the blinding label of its protocols")
    arms: tuple[Arm, ...] = Field(min_length=2)
    strata: tuple[Stratum, ...] = Field(min_length=1)
    block_sizes: tuple[int, ...] = Field(
        default=(), description="sizes that blocks are drawn from; multiples of the sum of shares"
    )

    @classmethod
    def problems_between(cls, data: Mapping[str, Any]) -> list[str]:
        """List names used twice, arms that cannot be, and blocks that do not divide."""
        problems = []
        arms, strata = data.get("arms"), data.get("strata")
        for what, entries, key in (("arms", arms, "code"), ("strata", strata, "name")):
            names = [e.get(key) for e in entries or () if isinstance(e, Mapping)]
            if len(set(map(str, names))) < len(names):
                problems.append(f"{what}: a {key} is used twice")
        for index, arm in enumerate(arms or ()):
            if isinstance(arm, Mapping):
                problems += [f"arms[{index}].{p}" for p in Arm.problems_between(arm)]
        shares = [a.get("share", 1) for a in arms or () if isinstance(a, Mapping)]
        sizes = data.get("block_sizes") or ()
        if all(isinstance(n, int) for n in [*shares, *sizes]) and sum(shares) > 0:
            problems += [
                f"block_sizes: {size} is not a multiple of {sum(shares)}, the sum of the shares"
                for size in sizes
                if size < 1 or size % sum(shares)
            ]
        return problems


class Slot(StrictModel):
    """One place of the table, closed."""

    number: int = Field(ge=1, description="counts within its stratum")
    stratum: Label
    box: str = Field(description="the arm, closed with the site key")


class Study(StrictModel):
    """The study file: everything that the team may have."""

    schema_version: Literal[1] = 1
    study: Label
    strata: tuple[Stratum, ...] = Field(min_length=1)
    public_key: str = Field(
        pattern=r"^[A-Za-z0-9+/]{43}=$", description="the statistician's, base64"
    )
    commitment_sha256: str = Field(description="of the salted table, opened after the study")
    slots: tuple[Slot, ...] = Field(min_length=1)

    @property
    def sealing_key(self) -> bytes:
        """The statistician's public key."""
        return base64.b64decode(self.public_key)

    def arm(self, slot: Slot, site_key: bytes) -> Arm:
        """Open one slot.

        Raises
        ------
        InputError
            Another key, or a slot that was changed or moved; the message does not tell the arm.
        """
        from nacl.exceptions import CryptoError
        from nacl.secret import SecretBox

        where = f"study {self.study}, slot {slot.number} of stratum {slot.stratum}"
        try:
            data = json.loads(unpad(SecretBox(site_key).decrypt(base64.b64decode(slot.box))))
            place = (data.pop("study"), data.pop("number"), data.pop("stratum"))
        except (CryptoError, ValueError, KeyError, TypeError, InputError) as exc:
            raise InputError(
                f"{where}: cannot be opened: not the key of this study, or the file was changed"
            ) from exc
        if place != (self.study, slot.number, slot.stratum):
            raise InputError(f"{where}: holds another slot; the file was changed")
        return Arm.from_data(data, where)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table in the clear: number in the stratum, stratum, code of the arm."""

    number: int
    stratum: str
    arm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The table in the clear, as the statistician has it.

    Parameters
    ----------
    study : str
        Name.
    arms : tuple of Arm
        Every arm.
    rows : tuple of Row
        In order, stratum by stratum.
    seed : str
        Of the draw, hexadecimal; empty for a table that was made elsewhere.
    salt : str
        Hexadecimal; keeps the commitment from being guessed.
    """

    study: str
    arms: tuple[Arm, ...]
    rows: tuple[Row, ...]
    seed: str
    salt: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "study": self.study,
            "arms": [arm.to_data() for arm in self.arms],
            "rows": [[row.number, row.stratum, row.arm] for row in self.rows],
            "seed": self.seed,
            "salt": self.salt,
        }

    @property
    def commitment_sha256(self) -> str:
        """Hash over all of it, the salt too."""
        return hashlib.sha256(canonical(self.to_dict()).encode()).hexdigest()

    def waveform_of(self, stratum: str, number: int) -> str:
        """Return the waveform of a slot."""
        code = next(r.arm for r in self.rows if (r.stratum, r.number) == (stratum, number))
        return next(arm.waveform for arm in self.arms if arm.code == code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocated:
    """The three files of a new allocation.

    Parameters
    ----------
    study, site_key, table : Path
        Where they are.
    commitment_sha256 : str
        To be published or deposited before the first participant.
    warnings : tuple of str
        What the statistician should know.
    """

    study: Path
    site_key: Path
    table: Path
    commitment_sha256: str
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "study": str(self.study),
            "site_key": str(self.site_key),
            "table": str(self.table),
            "commitment_sha256": self.commitment_sha256,
            "warnings": list(self.warnings),
        }


def allocate(
    design: Design,
    public_key: bytes,
    folder: str | Path,
    *,
    rows: Sequence[Row] | None = None,
    seed: bytes | None = None,
) -> Allocated:
    """Draw the table, or take one made elsewhere, and write the three files.

    Parameters
    ----------
    design : Design
        Study, arms, strata, block sizes.
    public_key : bytes
        The statistician's.
    folder : path
        Made where it is missing.
    rows : sequence of Row, optional
        From :func:`read_table`.
    seed : bytes, optional
        Of the draw; from the system's source of randomness where left out, as it should be.

    Returns
    -------
    Allocated

    Raises
    ------
    InputError
        A table that does not fit the design, files that are there already, or a folder that cannot
        be written.
    """
    drawn = rows is None
    seed = secrets.token_bytes(32) if seed is None else seed
    table = Table(
        study=design.study,
        arms=design.arms,
        rows=tuple(_drawn(design, seed) if rows is None else _fitting(design, rows)),
        seed=seed.hex() if drawn else "",
        salt=secrets.token_hex(32),
    )
    key = secrets.token_bytes(32)
    study = _closed(design, table, public_key, key)
    folder = Path(folder)
    found = Allocated(
        study=folder / f"{design.study}_study.toml",
        site_key=folder / f"{design.study}_site.key",
        table=folder / f"{design.study}_table.sealed",
        commitment_sha256=table.commitment_sha256,
        warnings=tuple(_warnings(design, table)),
    )
    for path in (found.study, found.site_key, found.table):
        if path.exists():
            raise InputError(f"{path}: is there already; a study is allocated once")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InputError(f"{folder}: cannot be made ({exc.strerror})") from exc
    with SealedWriter(found.table, public_key) as sealed:
        sealed.put(pad_to(canonical(table.to_dict()).encode(), _table_bytes(len(table.rows))))
        sealed.finish(_table_bytes(len(table.rows)) // sealed.room + 1)
    write_site_key(found.site_key, key)
    study.to_toml(found.study, comment="Nothing in this file tells an arm; see `tacs blind`.")
    return found


def open_table(path: str | Path, private_key: bytes, study: Study | None = None) -> Table:
    """Open the statistician's sealed table; with a study, hold it against the commitment.

    Raises
    ------
    InputError
        Not the table, another key, or not the table that the study committed to.
    """
    opened = open_sealed(path, private_key)
    if opened.problem is not None or not opened.complete:
        raise InputError(f"{path}: {opened.problem or 'has no end'}; it is not whole")
    try:
        data = json.loads(unpad(opened.content))
        table = Table(
            study=str(data["study"]),
            arms=tuple(Arm.from_data(arm, str(path)) for arm in data["arms"]),
            rows=tuple(Row(int(n), str(s), str(a)) for n, s, a in data["rows"]),
            seed=str(data["seed"]),
            salt=str(data["salt"]),
        )
    except (ValueError, KeyError, TypeError, InputError) as exc:
        raise InputError(f"{path}: does not hold an allocation table") from exc
    if study is not None and table.commitment_sha256 != study.commitment_sha256:
        raise InputError(
            f"{path}: is not the table that study {study.study} committed to before it began"
        )
    return table


def read_table(path: str | Path) -> list[Row]:
    """Read a table made elsewhere: CSV as REDCap exports it, or TOML.

    Parameters
    ----------
    path : path
        CSV with the columns number, stratum (may be left out) and arm; or TOML with ``[[slots]]``.

    Raises
    ------
    InputError
        Not such a file.
    FileProblems
        With every line that cannot be read.
    """
    if Path(path).suffix == ".toml":
        entries = read_toml(path).get("slots", [])
        if not isinstance(entries, list) or not all(isinstance(e, Mapping) for e in entries):
            raise InputError(f"{path}: needs [[slots]] with number, stratum and arm")
        found: Sequence[Mapping[str, Any]] = entries
    else:
        found = _csv_entries(path)
    rows, problems = [], []
    for place, entry in enumerate(found, start=1):
        number, arm = str(entry.get("number", "")).strip(), str(entry.get("arm", "")).strip()
        if not number.isdecimal() or not arm:
            problems.append(f"slot {place}: needs a number and an arm, not {number!r} and {arm!r}")
            continue
        rows.append(Row(int(number), str(entry.get("stratum", "") or "").strip() or "all", arm))
    if problems:
        raise FileProblems(str(path), problems)
    if not rows:
        raise InputError(f"{path}: has no slots")
    return rows


def write_site_key(path: Path, key: bytes) -> None:
    """Write a site key that only its owner can read.

    Raises
    ------
    InputError
        There is one already, or it cannot be written.
    """
    text = f"# {SITE_KEY}\n{base64.b64encode(key).decode('ascii')}\n"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as exc:
        raise InputError(f"{path}: is there already") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be written ({exc.strerror})") from exc
    try:
        os.write(fd, text.encode("ascii"))
        os.fsync(fd)
    finally:
        os.close(fd)


def read_site_key(path: str | Path) -> bytes:
    """Read a site key.

    Raises
    ------
    InputError
        No such file, or not a site key.
    """
    try:
        title, text = Path(path).read_text(encoding="ascii").splitlines()
        key = base64.b64decode(text.encode("ascii"), validate=True)
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such file; the statistician has the site key") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror})") from exc
    except ValueError as exc:
        raise InputError(f"{path}: is not a site key of `tacs blind allocate`") from exc
    if title != f"# {SITE_KEY}" or len(key) != 32:
        raise InputError(f"{path}: is not a site key of `tacs blind allocate`")
    return key


def _drawn(design: Design, seed: bytes) -> list[Row]:
    """Permuted blocks of random size, whole blocks until the table is long enough."""
    unit = [arm.code for arm in design.arms for _ in range(arm.share)]
    sizes = design.block_sizes or (len(unit), 2 * len(unit), 3 * len(unit))
    rows = []
    for stratum in design.strata:
        # Of each stratum its own sequence: how many one has says nothing about another.
        source = random.Random(hashlib.sha256(seed + stratum.name.encode()).hexdigest())
        codes: list[str] = []
        while len(codes) < _wanted(stratum):
            block = unit * (source.choice(sizes) // len(unit))
            source.shuffle(block)
            codes += block
        rows += [Row(n, stratum.name, code) for n, code in enumerate(codes, start=1)]
    return rows


def _fitting(design: Design, rows: Sequence[Row]) -> list[Row]:
    """A table made elsewhere, in order, or every reason why it does not fit the design."""
    codes, strata = {a.code for a in design.arms}, {s.name for s in design.strata}
    problems = [
        f"slot {row.number}: arm {row.arm!r} is not one of the design ({', '.join(sorted(codes))})"
        for row in rows
        if row.arm not in codes
    ]
    problems += [
        f"stratum {name!r} is not one of the design ({', '.join(sorted(strata))})"
        for name in sorted({row.stratum for row in rows} - strata)
    ]
    problems += [
        f"stratum {name!r} has no slots" for name in sorted(strata - {row.stratum for row in rows})
    ]
    places = [(row.stratum, row.number) for row in rows]
    if len(set(places)) < len(places):
        problems.append("a number stands twice in one stratum")
    if problems:
        raise FileProblems("table", problems)
    # Exports may number through all strata: within each, the order is what counts.
    found = []
    for stratum in design.strata:
        own = sorted((r for r in rows if r.stratum == stratum.name), key=lambda row: row.number)
        found += [Row(n, stratum.name, row.arm) for n, row in enumerate(own, start=1)]
    return found


def _closed(design: Design, table: Table, public_key: bytes, key: bytes) -> Study:
    from nacl.secret import SecretBox

    box, arms = SecretBox(key), {arm.code: arm for arm in design.arms}
    slots = []
    for row in table.rows:
        place = {"study": design.study, "number": row.number, "stratum": row.stratum}
        content = canonical({**place, **arms[row.arm].to_data()}).encode()
        closed = bytes(box.encrypt(pad_to(content, SLOT_BYTES)))
        slots.append({**place, "box": base64.b64encode(closed).decode("ascii")})
        del slots[-1]["study"]
    return Study.from_data(
        {
            "study": design.study,
            "strata": [stratum.to_data() for stratum in design.strata],
            "public_key": base64.b64encode(public_key).decode("ascii"),
            "commitment_sha256": table.commitment_sha256,
            "slots": slots,
        },
        design.study,
    )


def _warnings(design: Design, table: Table) -> list[str]:
    found = []
    for stratum in design.strata:
        n = sum(row.stratum == stratum.name for row in table.rows)
        if n < _wanted(stratum):
            found.append(
                f"stratum {stratum.name}: {n} slots for {stratum.planned} participants; at least "
                f"{_wanted(stratum)} (20 % more) leave room for those who drop out"
            )
    if not any(arm.waveform == "tacs" for arm in design.arms):
        found.append("no arm is active (waveform tacs)")
    if len(set(design.block_sizes)) == 1:
        found.append("one block size only: the last of a block can be guessed")
    return found


def _wanted(stratum: Stratum) -> int:
    """Slots that a stratum should have: 20 % more than participants planned, rounded up."""
    return -(-stratum.planned * 12 // 10)


def _table_bytes(n_slots: int) -> int:
    return 8192 + TABLE_BYTES_PER_SLOT * n_slots


def _csv_entries(path: str | Path) -> list[dict[str, str]]:
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no such file") from exc
    except UnicodeDecodeError as exc:
        raise InputError(f"{path}: is not a text file; export the table as CSV (UTF-8)") from exc
    except OSError as exc:
        raise InputError(f"{path}: cannot be read ({exc.strerror})") from exc
    reader = csv.DictReader(io.StringIO(text))
    header = [name.strip().lower() for name in reader.fieldnames or ()]
    column = {
        name: next((h for h in header if h in known), None) for name, known in COLUMNS.items()
    }
    if column["number"] is None or column["arm"] is None:
        raise InputError(
            f"{path}: needs the columns number and arm, and stratum where there are strata; it has "
            f"{', '.join(header) or 'none'}"
        )
    reader.fieldnames = header
    return [
        {name: row.get(own) or "" for name, own in column.items() if own is not None}
        for row in reader
    ]
