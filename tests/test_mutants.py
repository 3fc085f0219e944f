"""The mutation run: what it changes, and that the list of what cannot be noticed is in order."""

from __future__ import annotations

import ast

import pytest

mutants = pytest.importorskip("benchmarks.mutants", reason="benchmarks are not here")

SOURCE = '''
"""A module."""
__all__ = ["f"]
LIMIT: float = 2.0

def f(a: float, *, b: float = 1.0) -> float:
    """Say something."""
    if not a < LIMIT and b:
        return min(a, b)
    return State.HOLD if g(a, c=-1) else None
'''
CHANGES = [
    "2.0 to 3.0",
    "1.0 to 2.0",
    "And to Or",
    "without Not",
    "Lt to LtE",
    "Lt to GtE",
    "returns None",
    "min to max",
    "returns None",
    "condition negated",
    "without c=",
    "without USub",
    "1 to 2",
    "HOLD to IDLE",
]


def offered() -> list[str]:
    mutator = mutants.Mutator(None, texts=False)
    mutator.visit(ast.parse(SOURCE))
    return [change for _, change in mutator.offered]


def test_what_is_changed_and_what_is_not():
    assert sorted(offered()) == sorted(CHANGES)


def test_each_change_is_made_alone():
    unchanged = ast.unparse(mutants.Mutator(None, texts=False).visit(ast.parse(SOURCE)))
    assert unchanged == ast.unparse(ast.parse(SOURCE))
    made = [
        ast.unparse(mutants.Mutator(i, texts=False).visit(ast.parse(SOURCE)))
        for i in range(len(CHANGES))
    ]
    assert unchanged not in made
    assert len(set(made)) == len(CHANGES)
    for text in made:
        differing = [
            (a, b) for a, b in zip(unchanged.splitlines(), text.splitlines(), strict=True) if a != b
        ]
        assert len(differing) == 1


def test_every_mutant_that_cannot_be_noticed_still_exists_and_says_why():
    for row in mutants.allowed():
        assert set(row) == {"file", "line", "change", "reason"}
        assert len(row["reason"]) > 10
        there = {(m.text, m.change) for m in mutants.mutants_of(row["file"])}
        assert (row["line"], row["change"]) in there, row


def test_survivors_are_held_against_the_list():
    file = "tacs/session.py"
    found = mutants.mutants_of(file)
    rows = [row for row in mutants.allowed() if row["file"] == file]
    survived = [
        next(m for m in found if (m.text, m.change) == (row["line"], row["change"])) for row in rows
    ]
    fine = mutants.judge(file, survived, found)
    assert (fine["survivors"], fine["stale"], fine["equivalent"]) == ([], [], len(rows))
    assert fine["mutants"] == len(found) > 400
    assert fine["killed"] == len(found) - len(rows)
    worse = mutants.judge(file, [*survived[1:], found[0]], found)
    assert worse["survivors"] == [str(found[0])]
    assert worse["stale"] == [f"{survived[0].text}: {survived[0].change}"]
