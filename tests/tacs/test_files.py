"""Settings files: strict in, every problem at once, the same out, nothing half written."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from pydantic import Field

from tacs.errors import FileProblems, InputError
from tacs.files import StrictModel, read_toml, write_text
from tacs.limits import ParticipantFile, SiteFile
from tacs.protocol import Protocol
from tacs.recipe import Recipe, recipes
from tacs.rig import Rig, load_rig
from tests.tacs.made import anything, protocol_data, spoiled

SITE = {
    "site": "made",
    "approved_by": "A. Person",
    "reason": "study 1",
    "limits": {"session_duration_min": 40.0},
}


class Inner(StrictModel):
    """A nested table."""

    width_cm2: float


class Sample(StrictModel):
    """One field of every kind that the settings files use."""

    ratio: float
    count: int
    text: str
    flag: bool
    day: date
    inner: Inner
    many: tuple[Inner, ...] = Field(min_length=2)
    ramp_up_s: float = 30.0


GOOD = {
    "ratio": 1.5,
    "count": 2,
    "text": "a",
    "flag": True,
    "day": "2026-01-01",
    "inner": {"width_cm2": 1.0},
    "many": [{"width_cm2": 1.0}, {"width_cm2": 2.0}],
}


def problems(**changes: object) -> tuple[str, ...]:
    with pytest.raises(FileProblems) as caught:
        Sample.from_data({**GOOD, **changes}, "a.toml")
    assert str(caught.value) == "\n".join(f"a.toml: {p}" for p in caught.value.problems)
    return caught.value.problems


def test_whole_numbers_are_numbers() -> None:
    assert Sample.from_data({**GOOD, "ratio": 2}, "a.toml").ratio == 2.0


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ratio": "1.5"}, "ratio: must be a number, not '1.5'"),
        ({"ratio": True}, "ratio: must be a number, not True"),
        ({"ratio": float("nan")}, "ratio: must be a finite number, not nan"),
        ({"ratio": float("inf")}, "ratio: must be a finite number, not inf"),
        ({"count": 1.5}, "count: must be a whole number, not 1.5"),
        ({"text": 5}, "text: must be a text in quotes, not 5"),
        ({"flag": "yes"}, "flag: must be true or false, not 'yes'"),
        ({"inner": 3}, "inner: must be a table, not 3"),
        ({"many": {}}, "many: must be a list in brackets, not {}"),
        ({"many": [{"width_cm2": 1.0}]}, "many: needs at least 2 entries"),
        ({"inner": {}}, "inner.width_cm2: missing (square centimetres)"),
        ({"inner": {"width_cm2": 1.0, "wdith_cm2": 2}}, "did you mean width_cm2"),
        ({"ramp_up": 30.0}, "the unit is missing: write ramp_up_s (seconds)"),
        ({"completely_else": 1}, "completely_else: unknown key; known here: ratio, count"),
    ],
)
def test_every_kind_of_problem_says_where_what_and_how(
    changes: dict[str, object], expected: str
) -> None:
    found = problems(**changes)
    assert len(found) == 1
    assert expected in found[0]


def test_all_problems_are_listed_at_once() -> None:
    found = problems(ratio="x", count=1.5, flag=1, inner={"width_cm2": None})
    assert [p.split(":")[0] for p in found] == ["ratio", "count", "flag", "inner.width_cm2"]


def test_the_hash_does_not_depend_on_the_layout(tmp_path: Path) -> None:
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    sample = Sample.from_data(GOOD, "a.toml")
    sample.to_toml(one, comment="two\nlines")
    assert one.read_text().startswith("# two\n# lines\n")
    lines = [line for line in one.read_text().splitlines() if not line.startswith("#")]
    other.write_text("\n\n".join(lines))
    assert Sample.from_toml(one) == Sample.from_toml(other) == sample
    assert Sample.from_toml(other).sha256() == sample.sha256()
    assert sample.model_copy(update={"count": 3}).sha256() != sample.sha256()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "no such file"),
        (b"a = [1,", "is not valid TOML"),
        (b"a = 1\na = 2\n", "is not valid TOML"),
        (b"\xff\xfe\x00", "is not a text file"),
    ],
)
def test_a_file_that_is_not_toml(tmp_path: Path, content: bytes | None, expected: str) -> None:
    path = tmp_path / "a.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        read_toml(path)
    assert str(path) in str(caught.value)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        read_toml(tmp_path)


def test_writing_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "first")

    def full(self: Path, text: str, encoding: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_text(path, "second")
    assert path.read_bytes() == b"first"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_writing_below_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "text")


MODELS = [
    (Protocol, protocol_data()),
    (Rig, load_rig("emulated-synthpal").to_data()),
    (Recipe, recipes()["bifrontal-alpha-depression"].to_data()),
    (SiteFile, SITE),
    (ParticipantFile, {"subject": "01", "limits": {"session_duration_min": 10.0}}),
]


@pytest.mark.parametrize(("model", "good"), MODELS, ids=[m.__name__ for m, _ in MODELS])
def test_nothing_a_file_may_hold_ends_in_a_traceback(
    model: type[StrictModel], good: dict[str, object]
) -> None:
    assert model.from_data(good, "good.toml").to_data()

    @settings(max_examples=120, deadline=None, database=None)
    @given(data=spoiled(good) | anything.map(lambda value: {"name": value}))
    def check(data: dict[str, object]) -> None:
        problems: Sequence[str] = ["none"]
        try:
            model.from_data(data, "bad.toml")
        except FileProblems as exc:
            problems = exc.problems
        assert problems
        assert all(line.strip() for line in problems)

    check()
