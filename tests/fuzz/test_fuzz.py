"""Every parser of ours against spoiled inputs, seeded; the long campaign is `benchmarks.fuzz`."""

from __future__ import annotations

import pytest

from tests.fuzz import targets
from tests.fuzz.campaign import Outcome, given, judge, seeded
from tests.fuzz.mutator import Mutator
from tests.fuzz.targets import Accepted, Target, all_targets

SLOW = {"protocol file", "rig file", "site limits", "participant limits", "peak file"}
SLOWEST = {"damaged ledger"}
NAMES = sorted(all_targets())


@pytest.mark.parametrize("name", NAMES)
def test_good_inputs_are_taken(name: str):
    target = all_targets()[name]
    if name in {"synthpal wire", "fault"}:
        pytest.skip("its seeds hold refusals too")
    found = given(target, target.seeds())
    assert found.examples == []
    assert (found.refused, found.uncaught) == (0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_spoiled_inputs_are_refused_in_the_suites_own_words(name: str):
    inputs = 100 if name in SLOWEST else 600 if name in SLOW else 4000
    found = seeded(all_targets()[name], inputs, seed=11)
    assert found.examples == []
    assert (found.accepted, found.uncaught) == (0, 0)
    assert found.inputs == found.refused or name not in {"record", "ledger"} or found.refused > 3000


def test_a_parser_with_a_defect_is_found_out():
    def parse(data: bytes) -> None:
        if b"x" not in data:
            raise KeyError(len(data))
        if data != b"x=1":
            raise Accepted("anything will do")

    found = seeded(Target("broken", parse, lambda: [b"x=1"], (ValueError,)), 500, seed=1)
    assert found.uncaught > 20
    assert found.accepted > 20
    assert len(found.examples) == 5


def test_a_chain_that_was_computed_anew_is_told_from_one_that_was_corrupted():
    forged = targets.chained([("end", 1.0, {"outcome": "done"})])
    assert targets.is_forged(forged)
    for at in range(len(forged)):
        spoiled = forged[:at] + bytes([forged[at] ^ 1]) + forged[at + 1 :]
        outcome = Outcome()
        judge(all_targets()["record"], spoiled, outcome)
        assert (outcome.refused, outcome.accepted) == (1, 0)


def test_a_reader_that_takes_everything_is_found_out(monkeypatch: pytest.MonkeyPatch):
    real = targets.read_lines
    monkeypatch.setattr(
        targets, "read_lines", lambda content, **options: (real(content, **options)[0], None)
    )
    found = seeded(all_targets()["record"], 200, seed=1)
    assert found.accepted + found.uncaught > 150


def test_what_a_target_may_raise_counts_as_refused():
    outcome = Outcome()
    judge(targets.all_targets()["device name"], b"nothing", outcome)
    judge(targets.all_targets()["device name"], b":", outcome)
    assert (outcome.inputs, outcome.refused, outcome.uncaught) == (2, 1, 0)


def test_the_same_seed_gives_the_same_inputs():
    one, two = (Mutator([b"abc", b"defg"], [b"--"], 3) for _ in range(2))
    assert [one.next() for _ in range(200)] == [two.next() for _ in range(200)]
    other = Mutator([b"abc", b"defg"], [b"--"], 4)
    assert [one.next() for _ in range(20)] != [other.next() for _ in range(20)]
