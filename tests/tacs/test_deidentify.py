"""Canaries in every header and free text that a data set can hold: none is in the copy."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import sqlite3
import stat
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest

from tacs.cli import call
from tacs.dataset import ensure_dataset
from tacs.deidentify import deidentify
from tacs.deidentify_content import plain_tsv, shifted
from tacs.deidentify_headers import channel_name, mark_text
from tacs.errors import InputError
from tacs.journal import Journal
from tests.tacs.standards import BLINDED, stimulate
from tests.tacs.studies import study
from tests.tacs.test_bids import digest, edf, import_, made_raw, rows, validate

PERSON, HOSPITAL, OPERATOR, BORN = "Nightingale", "H4711", "Lovelace", "1980-02-03"
SUBJECT, SESSION = "NN07", "20231114"
CANARIES = (
    PERSON, PERSON.upper(), HOSPITAL, OPERATOR, BORN, "03-FEB-1980", "14-NOV-2023", "14.11.23",
    "2023-11-14", "20231114", SUBJECT, "20190705", "=cmd",
)  # fmt: skip


def planted_edf(folder: Path) -> Path:
    """An EDF+ file with a canary in every text of its header and in a mark."""
    path = edf(folder, name="rest.edf")
    raw = made_raw()
    raw.annotations.append([10.0], [0.0], [f"{PERSON} coughs"])
    raw.export(path, physical_range=(-500, 500), overwrite=True, verbose="ERROR")
    data = bytearray(path.read_bytes())
    n = int(data[252:256])
    data[8:88] = f"{HOSPITAL} F 03-FEB-1980 {PERSON}".encode().ljust(80)
    data[88:168] = f"Startdate 14-NOV-2023 {HOSPITAL} {OPERATOR} X".encode().ljust(80)
    data[168:176] = b"14.11.23"
    data[192:236] = f"EDF+C {PERSON}".encode().ljust(44)
    transducer, prefilter, spare = 256 + 16 * n, 256 + 136 * n, 256 + 224 * n
    data[transducer : transducer + 80] = f"cap of {PERSON}".encode().ljust(80)
    data[prefilter : prefilter + 80] = f"set by {OPERATOR}".encode().ljust(80)
    data[spare : spare + 32] = f"{HOSPITAL} {PERSON}".encode().ljust(32)
    path.write_bytes(data)
    return path


def people(dataset: Path, table: str) -> None:
    """A data set with nothing in it but its table of people."""
    ensure_dataset(dataset)
    (dataset / "participants.tsv").write_text(table, encoding="utf-8")


def planted(dataset: Path, clinic: Path) -> dict[Path, tuple[str, ...]]:
    """Make the data set; return what was planted where."""
    study("A")
    stimulate(dataset, SUBJECT, session=SESSION, operator=f"A. {OPERATOR}",
              script=((20.0, f"stop:{PERSON} felt unwell"),))  # fmt: skip
    stimulate(dataset, "B2", protocol=BLINDED, operator=f"A. {OPERATOR}")
    source = planted_edf(clinic)
    import_(source, dataset, "pre", subject=SUBJECT, session=SESSION)
    import_(source, dataset, "post", subject=SUBJECT, session=SESSION, task=f"x{PERSON}")
    (clinic / "b").mkdir()
    made_raw().export(clinic / "b" / "rest.vhdr", verbose="ERROR")
    import_(clinic / "b" / "rest.vhdr", dataset, "post", subject=SUBJECT, session=SESSION)
    Journal(dataset).append(
        "consent", {"sheet": f"signed by {PERSON}, {BORN}"}, operator=f"A. {OPERATOR}",
        role="operator", subject=SUBJECT,
    )  # fmt: skip
    eeg = dataset / f"sub-{SUBJECT}" / f"ses-{SESSION}" / "eeg"
    stem = f"sub-{SUBJECT}_ses-{SESSION}_task-restclosed_acq-"
    where: dict[Path, tuple[str, ...]] = {}

    def put(path: Path, content: bytes | str, *canaries: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        where[path] = canaries

    # The import blanks names in EDF headers; other tools do not.
    put(eeg / f"{stem}pre_eeg.edf", source.read_bytes(), PERSON, HOSPITAL, OPERATOR, "14.11.23",
        "03-FEB-1980", "14-NOV-2023")  # fmt: skip
    head, marks = eeg / f"{stem}post_eeg.vhdr", eeg / f"{stem}post_eeg.vmrk"
    text = head.read_text().replace("Ch10=HEOG", f"Ch10={PERSON}")
    put(head, f"{text}\n{PERSON} {HOSPITAL} by {OPERATOR}, {BORN}\n",
        PERSON, HOSPITAL, OPERATOR, BORN)  # fmt: skip
    text = marks.read_text()
    put(marks, text + f"Mk98=New Segment,,1,1,0,20190705093000000000\nMk99=Comment,{PERSON} coughs,"
        "30,1,0\n", "20190705", PERSON)  # fmt: skip
    for path in eeg.glob("*_eeg.json"):
        data = json.loads(path.read_text())
        data |= {
            "InstitutionName": f"Ward of {PERSON}", "Instructions": f"{PERSON}, sit",
            "DeviceSerialNumber": HOSPITAL, "TaskDescription": BORN, "EEGReference": PERSON,
            "SoftwareFilters": OPERATOR, "ElectricalStimulationParameters": f"for {PERSON}",
        }  # fmt: skip
        put(path, json.dumps(data), PERSON, HOSPITAL, OPERATOR, BORN)
    for suffix in ("channels", "events"):
        path = next(eeg.glob(f"{stem}pre_{suffix}.tsv"))
        lines = path.read_text().splitlines()
        lines[0] += "\tstatus_description"
        lines[1:] = [f"{line}\t=cmd {PERSON}" for line in lines[1:]]
        put(path, "\n".join(lines) + "\n", PERSON, "=cmd")
    people = dataset / "participants.tsv"
    people.write_text(
        "participant_id\tage\tsex\tname\tmrn\tborn\n"
        f"sub-{SUBJECT}\t93\tF\t{PERSON}\t{HOSPITAL}\t{BORN}\nsub-B2\t89\t=cmd\t\t\t\n"
    )
    where[people] = (PERSON, HOSPITAL, BORN, "=cmd")
    table = dataset / f"sub-{SUBJECT}" / f"sub-{SUBJECT}_sessions.tsv"
    table.write_text(f"session_id\tacq_time\tnote\nses-{SESSION}\t2023-11-14T22:00:00\t{PERSON}\n")
    where[table] = (PERSON, "2023-11-14")
    put(dataset / "README", f"{PERSON}", PERSON)
    put(dataset / "CHANGES", OPERATOR, OPERATOR)
    put(dataset / "dataset_description.json",
        json.dumps({"Name": f"EEG of {PERSON}", "BIDSVersion": "1.9.0", "DatasetType": "raw",
                    "Authors": [OPERATOR]}), PERSON, OPERATOR)  # fmt: skip
    results = dataset / "derivatives" / "tacs" / f"sub-{SUBJECT}" / f"ses-{SESSION}"
    stem = f"sub-{SUBJECT}_ses-{SESSION}"
    put(results / f"{stem}_peak.json",
        json.dumps({"status": "found", "frequency_hz": 10.3, "subject": SUBJECT, "mrn": 4711,
                    "recording": f"/home/{PERSON}/x.edf", "channels": ["Oz", PERSON],
                    "measured_at": "2023-11-14T23:00:00+00:00"}), PERSON, SUBJECT)  # fmt: skip
    put(results / f"{stem}_outcome.json",
        json.dumps({"direction": "increase", "summary": f"{PERSON} is better",
                    "power": {"percent": 12.0, PERSON: 1, "reason": PERSON}}), PERSON)  # fmt: skip
    put(results / f"{stem}_report.html", f"<h1>{PERSON}</h1>", PERSON)
    put(dataset / "phenotype" / "x.tsv", f"participant_id\tnote\nsub-{SUBJECT}\t{PERSON}\n", PERSON)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{PERSON}.txt", PERSON)
    put(dataset / "sourcedata" / "export.zip", packed.getvalue(), PERSON)
    put(dataset / "sourcedata" / f"{PERSON}.gz", gzip.compress(PERSON.encode()), PERSON)
    put(dataset / "sourcedata" / "wide.txt", PERSON.encode("utf-16"), PERSON)
    base = dataset / "sourcedata" / "store.sqlite"
    with sqlite3.connect(base) as connection:
        connection.execute("create table t (name text)")
        connection.execute("insert into t values (?)", (PERSON,))
    connection.close()
    where[base] = (PERSON,)
    (dataset / "link").symlink_to(source)
    return where


def contents(path: Path) -> Iterator[bytes]:
    """Whatever can be read in a file: itself, unpacked, and as a database."""
    data = path.read_bytes()
    yield data
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield name.encode() + archive.read(name)
    if data[:15] == b"SQLite format 3":
        connection = sqlite3.connect(path)
        yield "\n".join(connection.iterdump()).encode()
        connection.close()


def found_in(path: Path, canary: str) -> bool:
    spellings = [canary.encode(x) for x in ("utf-8", "utf-16-le", "utf-16-be")]
    lower = [x.lower() for x in spellings]
    return any(s in data.lower() for data in contents(path) for s in lower)


def found(folder: Path, canary: str) -> list[str]:
    """Where a canary is: in a name, or in what a file holds."""
    return [
        str(p.relative_to(folder))
        for p in folder.rglob("*")
        if canary.lower() in str(p.relative_to(folder)).lower()
        or (p.is_file() and found_in(p, canary))
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The data set with the canaries, its copy and the key; the plants are seen in the source."""
    folder = tmp_path_factory.mktemp("canary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TACS_SITE_DIR", str(folder / "site"))
        where = planted(folder / "ds", folder / "clinic")
    for path, canaries in where.items():
        for canary in canaries:
            assert found_in(path, canary), (path, canary)
    before = digest(folder / "ds")
    deidentify(folder / "ds", folder / "out", folder / "keys" / "key.json")
    assert digest(folder / "ds") == before
    return folder / "ds", folder / "out", folder / "keys" / "key.json"


@pytest.mark.parametrize("canary", CANARIES)
def test_no_canary_is_left(made: tuple[Path, Path, Path], canary: str) -> None:
    source, out, _ = made
    assert found(source, canary), "was never planted: this test would prove nothing"
    assert found(out, canary) == []


def test_the_day_of_the_session_is_gone(made: tuple[Path, Path, Path]) -> None:
    source, out, _ = made
    record = next(source.rglob(f"sub-{SUBJECT}*_record.jsonl"))
    today = json.loads(record.read_text().splitlines()[0])["utc"][:10]
    assert found(source, today)
    assert found(out, today) == []
    assert found(out, today.replace("-", "")) == []


def test_no_file_tells_when_it_was_written(made: tuple[Path, Path, Path]) -> None:
    _, out, _ = made
    assert {os.stat(p).st_mtime for p in [out, *out.rglob("*")]} == {315_532_800.0}


def test_the_key_is_for_its_owner_only_and_leads_back(made: tuple[Path, Path, Path]) -> None:
    _, out, key = made
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    told = json.loads(key.read_text())
    assert set(told["subjects"]) == {SUBJECT, "B2"}
    person = told["subjects"][SUBJECT]
    assert (out / f"sub-{person['pseudonym']}" / "ses-01" / "eeg").is_dir()
    assert person["sessions"] == {SESSION: "01"}
    assert list(told["operators"]) == [f"A. {OPERATOR}"]
    shifts = {p["shift_days"] for p in told["subjects"].values()}
    assert len(shifts) == 2
    assert not found(out, str(person["shift_days"]))


def test_the_copy_is_valid(made: tuple[Path, Path, Path]) -> None:
    assert validate(made[1]) == []


def test_what_is_no_secret_is_kept(made: tuple[Path, Path, Path]) -> None:
    source, out, key = made
    told = json.loads(key.read_text())
    name = told["subjects"][SUBJECT]["pseudonym"]
    eeg = out / f"sub-{name}" / "ses-01" / "eeg"
    for was, now in (
        (f"sub-{SUBJECT}_ses-{SESSION}_task-restclosed_acq-pre_eeg.edf", "pre_eeg.edf"),
        (f"sub-{SUBJECT}_ses-{SESSION}_task-restclosed_acq-post_eeg.vhdr", "post_eeg.vhdr"),
    ):
        old = mne.io.read_raw(next(source.rglob(was)), preload=True, verbose="ERROR")
        new = mne.io.read_raw(
            eeg / f"sub-{name}_ses-01_task-restclosed_acq-{now}", preload=True, verbose="ERROR"
        )
        assert np.array_equal(old.get_data(), new.get_data())
        assert old.ch_names[:9] == new.ch_names[:9]
        assert np.allclose(old.annotations.onset[:2], new.annotations.onset[:2])
    pre = mne.io.read_raw(
        eeg / f"sub-{name}_ses-01_task-restclosed_acq-pre_eeg.edf", verbose="ERROR"
    )
    assert [str(x) for x in pre.annotations.description] == ["eyes closed", "mark"]
    old_trace = next(source.rglob("*_stim.tsv.gz"))
    trace = next(eeg.glob("*_stim.tsv.gz"))
    assert gzip.decompress(trace.read_bytes()) == gzip.decompress(old_trace.read_bytes())
    assert trace.read_bytes()[3:8] == bytes(5)
    ages = {row["participant_id"]: row["age"] for row in rows(out / "participants.tsv")}
    other = told["subjects"]["B2"]["pseudonym"]
    assert ages == {f"sub-{name}": "89+", f"sub-{other}": "89"}
    peak = json.loads(next(out.rglob("*_peak.json")).read_text())
    assert peak["frequency_hz"] == 10.3
    assert peak["channels"] == ["Oz"]
    assert "mrn" not in peak
    outcome = json.loads(next(out.rglob("*_outcome.json")).read_text())
    assert outcome == {"direction": "increase", "power": {"percent": 12.0}}


def test_intervals_stay(made: tuple[Path, Path, Path]) -> None:
    _, out, key = made
    told = json.loads(key.read_text())["subjects"][SUBJECT]
    new = f"sub-{told['pseudonym']}"
    moved = rows(out / new / f"{new}_sessions.tsv")[0]["acq_time"]
    measured = json.loads(next(out.rglob("*_peak.json")).read_text())["measured_at"]
    between = datetime.fromisoformat(measured.replace("Z", "")) - datetime.fromisoformat(moved)
    assert between == timedelta(hours=1)
    assert datetime.fromisoformat(moved).date() < date(1925, 1, 1)


def test_no_chain_is_forged(made: tuple[Path, Path, Path]) -> None:
    source, out, _ = made
    assert not list(out.rglob("*.jsonl"))
    assert not list(out.rglob("*.sealed"))
    for path in out.rglob("*_summary.json"):
        told = json.loads(path.read_text())
        assert told["derived"].startswith("Summary made for a de-identified export.")
        assert "hash" not in told
    head = next(source.rglob(f"sub-{SUBJECT}*_record.jsonl")).read_text().splitlines()[-1]
    assert found(out, json.loads(head)["hash"]) == []
    (summary,) = [
        t for p in out.rglob("*_summary.json") if not (t := json.loads(p.read_text()))["blinded"]
    ]
    assert summary["outcome"] == "stopped"
    assert summary["delivered"]["source"] == "measured"
    assert summary["operator"].startswith("OP")


def test_no_cell_is_a_formula(made: tuple[Path, Path, Path]) -> None:
    for path in made[1].rglob("*.tsv"):
        for line in path.read_text().splitlines():
            for cell in line.split("\t"):
                assert cell[:1] not in {"=", "@", "+"}, (path, cell)
                assert cell[:1] != "-" or float(cell) < 0.0


def test_what_was_left_out_is_told_but_not_in_the_copy(
    made: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, _, _ = made
    words = ["--json", "export", "deidentified", str(source), "--out", str(tmp_path / "o")]
    assert call([*words, "--subject-key", str(tmp_path / "k.json")]) == 0
    told = json.loads(capsys.readouterr().out)
    names = [name for group in told["left_out"].values() for name in group]
    assert f"sourcedata/{PERSON}.gz" in names
    assert "link" in names
    assert "sourcedata/tacs/journal.jsonl" in names
    assert not any(PERSON in p.read_text() for p in (tmp_path / "o").glob("README"))
    first = json.loads(made[2].read_text())["subjects"][SUBJECT]
    again = json.loads((tmp_path / "k.json").read_text())["subjects"][SUBJECT]
    assert first["pseudonym"] != again["pseudonym"]


def test_where_key_and_copy_may_lie(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    source, out, key = made
    with pytest.raises(InputError, match="is there already"):
        deidentify(source, out, tmp_path / "k.json")
    with pytest.raises(InputError, match="is there already"):
        deidentify(source, tmp_path / "o", key)
    with pytest.raises(InputError, match="lies in the export"):
        deidentify(source, tmp_path / "o", tmp_path / "o" / "k.json")
    with pytest.raises(InputError, match="lies in the data set"):
        deidentify(source, tmp_path / "o", source / "k.json")
    with pytest.raises(InputError, match="lies in the data set"):
        deidentify(source, source / "o", tmp_path / "k.json")
    with pytest.raises(InputError, match="no such data set"):
        deidentify(tmp_path / "none", tmp_path / "o", tmp_path / "k.json")
    assert not (tmp_path / "k.json").exists()


@pytest.mark.parametrize("what", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_neither_key_nor_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """At the key, and at the last step, after the key was written."""
    people(tmp_path / "ds", "participant_id\tage\nsub-A\t20\n")
    out, key = tmp_path / "a" / "out", tmp_path / "b" / "key.json"
    real = getattr(os, what)

    def full(*args: Any) -> Any:
        if what == "replace" and Path(args[1]) != out:
            return real(*args)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, what, full)
        with pytest.raises(InputError, match="No space left"):
            deidentify(tmp_path / "ds", out, key)
    assert not key.exists()
    assert list(out.parent.iterdir()) == []
    assert deidentify(tmp_path / "ds", out, key).key == key


def test_columns_that_nobody_knows_are_left_out_and_the_rest_is_made(tmp_path: Path) -> None:
    people(tmp_path / "ds", "participant_id\tgroup\nsub-A\tx\nsub-B\ty\n")
    deidentify(tmp_path / "ds", tmp_path / "out", tmp_path / "key.json")
    head, *lines = (tmp_path / "out" / "participants.tsv").read_text().splitlines()
    assert head == "participant_id"
    assert len(lines) == 2


@pytest.mark.parametrize("mark", ["\u2028", "\x0b", "\x85", "\x1c"])
def test_an_age_stays_with_its_person(tmp_path: Path, mark: str) -> None:
    """Whatever another column holds: some characters end a line for one reader only."""
    text = f"participant_id\tage\tnote\nsub-A\t21\ta{mark}b\nsub-B\t42\tc\nsub-C\t63\td\n"
    people(tmp_path / "ds", text)
    deidentify(tmp_path / "ds", tmp_path / "out", tmp_path / "key.json")
    told = json.loads((tmp_path / "key.json").read_text())["subjects"]
    ages = {row["participant_id"]: row["age"] for row in rows(tmp_path / "out/participants.tsv")}
    named = {label: ages[f"sub-{person['pseudonym']}"] for label, person in told.items()}
    assert named == {"A": "21", "B": "42", "C": "63"}


@pytest.mark.parametrize(
    ("name", "kept"),
    [("Oz", "Oz"), ("EEG Fp1-REF", "EEG Fp1-REF"), ("HEOG", "HEOG"), ("EXG3", "EXG3"),
     (PERSON, "ch4"), ("Oz Smith", "ch4"), ("4711", "ch4"), ("", "ch4")],
)  # fmt: skip
def test_names_of_channels(name: str, kept: str) -> None:
    assert channel_name(name, 4) == kept


def test_texts_and_times() -> None:
    assert [mark_text(x) for x in ("eyes closed", "S  7", "12", "4711", "seen by Dr X")] == [
        "eyes closed", "S 7", "12", "mark", "mark",
    ]  # fmt: skip
    assert shifted("2023-11-14T22:00:00+00:00", -1) == "2023-11-13T22:00:00Z"
    assert shifted(PERSON, -1) == "n/a"
    table = "onset\tvalue\ttrial_type\tnote\n1.5\t12\t=1+1\tx\n@x\t47110815\thold\ty\n"
    assert plain_tsv(table, "events") == (
        "onset\tvalue\ttrial_type\n1.5\t12\tmark\nn/a\tn/a\thold\n"
    )
    with pytest.raises(InputError, match="without a column that is known"):
        plain_tsv("a\tb\n1\t2\n", "events")
