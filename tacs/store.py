"""The store: a data set's tables in a database, for whoever wants to query them.

It is a projection (`tacs.projection`) and holds nothing of its own: it may be thrown away at any
time, a newer version rebuilds it, and a rebuild gives the same rows. A rebuild is one transaction,
so that a reader sees the old rows or the new ones and a killed rebuild leaves the old.

SQLite by default, in the data set's derivatives; PostgreSQL by URL (extra ``postgres``), where
everything lies in tables whose names begin with ``tacs_`` and nothing else is touched.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tacs.errors import InputError
from tacs.projection import COLUMNS, KEYS, Projection, Row, project

__all__ = ["Rebuilt", "default_store", "read_store", "rebuild", "store_url"]

PREFIX = "tacs_"
UNSAID_MS = 1000  # a wait as short as this is no news
BUSY_TIMEOUT_MS = 120_000  # of a clinic with 30 000 sessions, one rebuild waits for another
LOCK = 8122017  # of PostgreSQL: any number that nobody else takes
REAL = {
    "frequency_hz", "ci_low_hz", "ci_high_hz", "band_low_hz", "band_high_hz", "prominence_db",
    "duration_s", "current_peak_ma", "rectified_charge_c", "ln_ratio", "percent",
    "ci_low_percent", "ci_high_percent", "p", "adjusted_ln_ratio", "peak_shift_hz",
    "imcoh_matched_change", "total", "planned_hz", "measured_hz", "mismatch_hz", "limit_hz",
    "decay_w0", "decay_w0_low", "decay_w0_high", "decay_tau_min", "from_min", "to_min",
}  # fmt: skip
WHOLE = {
    "emulated", "blinded", "record_verifies", "replication", "as_predicted", "prorated",
    "n_missing", "in_remission", "seq", "number",
}  # fmt: skip
WHOLE_IN = {("rating_items", "item"), ("rating_items", "answer"), ("alerts", "item"),
            ("alerts", "answer")}  # fmt: skip
# Columns that name a row of another table.
REFERENCES: dict[str, tuple[tuple[tuple[str, ...], str], ...]] = {
    "sessions": ((("subject",), "subjects"),),
    "courses": ((("subject",), "subjects"),),
    "course_events": ((("subject", "emulated"), "courses"),),
    "peaks": ((("subject", "session"), "sessions"),),
    "doses": ((("subject", "session"), "sessions"),),
    "decisions": ((("subject", "session"), "sessions"),),
    "after_effects": ((("subject", "session"), "outcomes"),),
    "outcomes": ((("subject", "session"), "sessions"),),
    "ratings": ((("subject",), "subjects"), (("subject", "session"), "sessions")),
    "rating_items": ((("entry",), "ratings"),),
    "alerts": ((("entry",), "ratings"),),
    "forms": ((("subject",), "subjects"), (("subject", "session"), "sessions")),
    "form_answers": ((("entry",), "forms"),),
}
INDEXED = {
    "ratings": ("subject", "scale", "at_utc"), "forms": ("subject",), "audit": ("subject",),
    "alerts": ("subject",), "decisions": ("subject",),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What a rebuild wrote.

    Parameters
    ----------
    url : str
        Where, without a password.
    rows : dict of str to int
        Number of rows of every table.
    digest : str
        Hash over every row.
    problems : tuple of str
        What of the data set cannot be read.
    """

    url: str
    rows: dict[str, int]
    digest: str
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "url": self.url,
            "rows": self.rows,
            "digest": self.digest,
            "problems": list(self.problems),
        }


def default_store(dataset: str | Path) -> Path:
    """Return where a data set's own store lies."""
    return Path(dataset) / "derivatives" / "tacs" / "store.sqlite"


def store_url(url: str) -> sa.URL:
    """Return a database URL, or refuse it.

    Parameters
    ----------
    url : str
        ``postgresql://USER:PASSWORD@HOST/DATABASE``, or ``sqlite:///FILE``.

    Raises
    ------
    InputError
        Not a URL, another kind of database, or psycopg is not installed.
    """
    try:
        made = sa.make_url(url)
    except sa.exc.ArgumentError as exc:
        raise InputError(
            "--url: is not a database URL; write postgresql://USER@HOST/DATABASE or sqlite:///FILE"
        ) from exc
    kind = made.get_backend_name()
    if kind == "sqlite":
        if not made.database or made.database == ":memory:":
            raise InputError("--url: a store in memory is gone at once; give sqlite:///FILE")
        return made
    if kind != "postgresql":
        raise InputError(f"--url: {kind}: the store is kept in sqlite or postgresql")
    try:
        import psycopg  # noqa: F401
    except ImportError as exc:
        raise InputError("PostgreSQL needs psycopg 3: pip install 'tacs-suite[postgres]'") from exc
    return made.set(drivername="postgresql+psycopg")


def _say_nothing(_: str) -> None:
    return None


def rebuild(
    dataset: str | Path,
    url: str = "",
    *,
    site: Path | None = None,
    use_cache: bool = True,
    say: Callable[[str], None] = _say_nothing,
) -> Rebuilt:
    """Make the store again from the data set.

    Parameters
    ----------
    dataset : path
        The data set.
    url : str
        Of the database; the data set's own SQLite file where empty.
    site : Path, optional
        The site's folder, with the courses; :func:`tacs.sitelog.site_folder` where left out.
    use_cache : bool
        Whether records that are the same to the byte are taken as they were verified before.
    say : callable
        Told where another rebuild is waited for.

    Raises
    ------
    InputError
        No such data set, a database that cannot be used, or one with another data set's store.
    RecordError
        The journal or the site's courses do not verify.
    """
    projection = project(dataset, site=site, use_cache=use_cache)
    target = store_url(url) if url else _own_url(dataset)
    with _engine(target, say) as engine, engine.begin() as connection:
        _wait_for_others(connection, say)
        _clear(connection, projection)
        metadata = _metadata()
        metadata.create_all(connection)
        for name in metadata.sorted_tables:
            table = name.name.removeprefix(PREFIX)
            rows = [dict(zip(COLUMNS[table], row, strict=True)) for row in projection.tables[table]]
            if rows:
                connection.execute(sa.insert(name), rows)
    return Rebuilt(
        url=target.render_as_string(hide_password=True),
        rows={table: len(rows) for table, rows in projection.tables.items()},
        digest=projection.digest(),
        problems=tuple(f"{p['where']}: {p['what']}" for p in projection.rows("problems")),
    )


def read_store(dataset: str | Path, url: str = "") -> Projection:
    """Return every row of a store, as the projection that it was made from.

    Raises
    ------
    InputError
        There is no store, or it is one of another version.
    """
    target = store_url(url) if url else _own_url(dataset)
    if target.get_backend_name() == "sqlite" and not Path(str(target.database)).exists():
        raise InputError(
            f"{target.database}: no store yet; `tacs store rebuild {dataset}` makes it"
        )
    tables: dict[str, tuple[Row, ...]] = {}
    with _engine(target) as engine, engine.connect() as connection:
        for table in _metadata().tables.values():
            name = table.name.removeprefix(PREFIX)
            found = connection.execute(sa.select(table)).all()
            keys = KEYS[name]
            tables[name] = tuple(sorted((tuple(r) for r in found), key=lambda r: r[:keys]))
    return Projection(tables)


def _own_url(dataset: str | Path) -> sa.URL:
    return sa.URL.create("sqlite", database=str(default_store(dataset)))


@contextmanager
def _engine(url: sa.URL, say: Callable[[str], None] = _say_nothing) -> Iterator[sa.Engine]:
    """An engine that is disposed of; whatever the database refuses is one line."""
    where = url.render_as_string(hide_password=True)
    sqlite = url.get_backend_name() == "sqlite"
    if sqlite:
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    if sqlite:
        sa.event.listen(engine, "connect", _sqlite_settings)
        sa.event.listen(engine, "begin", lambda connection: _sqlite_begin(connection, say))
    try:
        yield engine
    except sa.exc.DBAPIError as exc:
        reason = " ".join(str(exc.orig).split())
        raise InputError(f"{where}: the database refused it ({reason})") from exc
    finally:
        engine.dispose()


def _sqlite_settings(connection: Any, _: Any) -> None:
    # Transactions are begun below: the driver's own would leave DDL outside of them.
    connection.isolation_level = None
    cursor = connection.cursor()
    for setting in (
        f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL",
        "foreign_keys=ON",
    ):  # fmt: skip
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _sqlite_begin(connection: sa.Connection, say: Callable[[str], None]) -> None:
    cursor = connection.connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={UNSAID_MS}")
    begun = True
    try:
        cursor.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as exc:
        begun = False
        if exc.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            say(
                f"{connection.engine.url.database}: another program writes to this store; waiting "
                f"for it, {BUSY_TIMEOUT_MS // 1000} s at most"
            )
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.close()
    if not begun:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _wait_for_others(connection: sa.Connection, say: Callable[[str], None]) -> None:
    """Let another rebuild on the same server end first; SQLite has its own lock."""
    if connection.dialect.name != "postgresql":
        return
    if not connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({LOCK})").scalar():
        say("another program writes to this store; waiting until it is done")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")


def _clear(connection: sa.Connection, projection: Projection) -> None:
    """Drop the store that is there; one of another data set is refused."""
    there = sa.inspect(connection).get_table_names()
    ours = [name for name in there if name.startswith(PREFIX)]
    if f"{PREFIX}meta" in ours:
        meta = sa.table(f"{PREFIX}meta", sa.column("name"), sa.column("value"))
        held = {row[0]: row[1] for row in connection.execute(sa.select(meta))}
        mine = projection.rows("meta", name="dataset")[0]["value"]
        if held.get("dataset") not in {None, mine}:
            raise InputError(
                f"this database holds the store of the data set {held['dataset']!r}, not of "
                f"{mine!r}; give each data set a database of its own"
            )
    elif ours:
        raise InputError(
            f"this database has tables {', '.join(ours[:3])} that are no store of the suite; give "
            f"another"
        )
    old = sa.MetaData()
    old.reflect(connection, only=ours)
    old.drop_all(connection)


def _metadata() -> sa.MetaData:
    """The tables, with their keys and references."""
    metadata = sa.MetaData()
    for table, columns in COLUMNS.items():
        keys = columns[: KEYS[table]]
        parts: list[Any] = [
            sa.Column(name, _type(table, name), primary_key=name in keys, autoincrement=False)
            for name in columns
        ]
        for names, other in REFERENCES.get(table, ()):
            targets = [f"{PREFIX}{other}.{column}" for column in COLUMNS[other][: KEYS[other]]]
            parts.append(sa.ForeignKeyConstraint(list(names), targets))
        if table in INDEXED:
            parts.append(sa.Index(f"{PREFIX}{table}_by", *INDEXED[table]))
        sa.Table(f"{PREFIX}{table}", metadata, *parts)
    return metadata


def _type(table: str, column: str) -> sa.types.TypeEngine[Any]:
    if column in WHOLE or (table, column) in WHOLE_IN:
        return sa.Integer()
    return sa.Double() if column in REAL else sa.Text()
