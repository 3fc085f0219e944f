"""Do the tests notice when one thing in the code is changed?

Every comparison, operator, number, truth value, member of the state machine, keyword, return and
statement of the files below is changed, one at a time, and the file's own tests are run on each
such mutant. A mutant that no test notices is a survivor; it must stand in tests/mutants.toml with
the reason why it cannot be noticed. In the kernel, texts are changed too; elsewhere what is only
read by people is left alone, as are annotations, decorators and docstrings.

    python -m benchmarks.mutants [FILE ...] [--list] [--json FILE]
    python -m benchmarks.mutants --planted
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = ROOT / "tests" / "mutants.toml"
TARGETS: dict[str, tuple[str, ...]] = {
    "tacs/session.py": ("tests/tacs/test_session.py", "tests/tacs/test_session_trains.py"),
    "tacs/session_plan.py": ("tests/tacs/test_session.py", "tests/tacs/test_session_trains.py"),
    "tacs/transitions.py": ("tests/tacs/test_session.py",),
    "tacs/limits.py": ("tests/tacs/test_limits.py", "tests/tacs/test_limits_exact.py"),
    "tacs/guard.py": (
        "tests/tacs/test_guard_exact.py",
        "tests/tacs/test_guard_trains.py",
        "tests/tacs/test_guard.py",
    ),
    "tacs/judge.py": ("tests/tacs/test_judge_exact.py",),
    **dict.fromkeys(
        (
            "tacs/safety.py",
            "tacs/safety_device.py",
            "tacs/safety_person.py",
            "tacs/cautions.py",
            "tacs/breach.py",
        ),
        ("tests/tacs/test_safety_exact.py", "tests/tacs/test_trains.py"),
    ),
    "devices/synthpal_wire.py": (
        "tests/devices/test_synthpal_link.py",
        "tests/devices/test_synthpal_wire.py",
    ),
}
WITH_TEXTS = {"tacs/session.py", "tacs/session_plan.py", "tacs/transitions.py"}
SCRATCH = tempfile.TemporaryDirectory(prefix="mutants-")
JUDGED = {0, 1, 2, None}  # passed, failed, could not be loaded, took too long
OURS = ("tacs", "devices", "analysis", "tests", "conftest")

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
MEMBERS = {
    "State": ("IDLE", "FAULT"),
    "S": ("IDLE", "FAULT"),
    "Trigger": ("CHECKED", "ARM"),
    "T": ("CHECKED", "ARM"),
    "Do": ("READ_STATUS", "SOFT_STOP"),
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: its number in the file, where, and what."""

    file: str
    number: int
    line: int
    text: str
    change: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.change}: {self.text}"


class Mutator(ast.NodeTransformer):
    """Walk a module, offer every change in a fixed order, and make the one that is wanted."""

    def __init__(self, wanted: int | None, *, texts: bool) -> None:
        self.wanted, self.texts = wanted, texts
        self.offered: list[tuple[int, str]] = []

    def offer(self, node: ast.AST, change: str) -> bool:
        self.offered.append((node.lineno, change))  # type: ignore[attr-defined]
        return len(self.offered) - 1 == self.wanted

    # What is not code that runs.
    def visit_arg(self, node: ast.arg) -> ast.AST:
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.args = self.visit(node.args)
        node.body = self.body(node.body)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = self.body(node.body)
        return node

    def visit_Module(self, node: ast.Module) -> ast.AST:
        node.body = self.body(node.body)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def body(self, body: list[ast.stmt]) -> list[ast.stmt]:
        kept = []
        for statement in body:
            docstring = isinstance(statement, ast.Expr) and isinstance(
                statement.value, ast.Constant
            )
            names = isinstance(statement, ast.Assign) and any(
                isinstance(t, ast.Name) and t.id == "__all__" for t in statement.targets
            )
            kept.append(statement if docstring or names else self.visit(statement))
        return kept

    def without(self, node: ast.stmt) -> ast.AST:
        if self.offer(node, "left out"):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return self.without(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        return self.without(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        return self.without(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return self.without(node)

    def visit_Break(self, node: ast.Break) -> ast.AST:
        wanted = self.offer(node, "break to continue")
        return ast.copy_location(ast.Continue(), node) if wanted else node

    def visit_Continue(self, node: ast.Continue) -> ast.AST:
        wanted = self.offer(node, "continue to break")
        return ast.copy_location(ast.Break(), node) if wanted else node

    def visit_Return(self, node: ast.Return) -> ast.AST:
        if node.value is not None and not _is(node.value, None):
            if self.offer(node, "returns None"):
                node.value = ast.copy_location(ast.Constant(None), node)
                return node
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        return self.negate(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        return self.negate(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        return self.negate(node)

    def negate(self, node: ast.If | ast.IfExp | ast.While) -> ast.AST:
        plain = not isinstance(node.test, ast.Compare | ast.BoolOp | ast.UnaryOp)
        if plain and self.offer(node, "condition negated"):
            node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
            return node
        return self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        for i, old in enumerate(node.ops):
            for new in COMPARISONS[type(old)]:
                if self.offer(node, f"{type(old).__name__} to {new.__name__}"):
                    node.ops[i] = new()
                    return node
        return self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        new = ast.Or if isinstance(node.op, ast.And) else ast.And
        if self.offer(node, f"{type(node.op).__name__} to {new.__name__}"):
            node.op = new()
            return node
        return self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        if self.offer(node, f"without {type(node.op).__name__}"):
            return node.operand
        return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        new = OPERATORS.get(type(node.op))
        if new and self.offer(node, f"{type(node.op).__name__} to {new.__name__}"):
            node.op = new()
            return node
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        old = node.value
        new: object = None
        if isinstance(old, bool):
            new = not old
        elif isinstance(old, int | float):
            new = old + 1
        elif isinstance(old, str) and self.texts:
            new = old + "?"
        elif isinstance(old, bytes):
            new = old + b"?"
        if new is not None and self.offer(node, f"{old!r} to {new!r}"):
            return ast.copy_location(ast.Constant(new), node)
        return node

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        node.value = self.visit(node.value)  # not the format
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id in MEMBERS:
            one, other = MEMBERS[node.value.id]
            new = one if node.attr != one else other
            if self.offer(node, f"{node.attr} to {new}"):
                node.attr = new
            return node
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id in CALLS:
            new = CALLS[node.func.id]
            if self.offer(node, f"{node.func.id} to {new}"):
                node.func.id = new
                return node
        for i, keyword in enumerate(node.keywords):
            if keyword.arg and self.offer(keyword.value, f"without {keyword.arg}="):
                del node.keywords[i]
                return node
        return self.generic_visit(node)


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def mutate(file: str, wanted: int | None) -> tuple[ast.Module, list[tuple[int, str]]]:
    """Return a file's tree with one change made, and every change that was offered."""
    mutator = Mutator(wanted, texts=file in WITH_TEXTS)
    tree = mutator.visit(ast.parse((ROOT / file).read_text(encoding="utf-8")))
    return ast.fix_missing_locations(tree), mutator.offered


def mutants_of(file: str) -> list[Mutant]:
    """List the changes of a file."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return [
        Mutant(file, i, line, lines[line - 1].strip(), change)
        for i, (line, change) in enumerate(mutate(file, None)[1])
    ]


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module from a tree instead of from its file."""

    def __init__(self, file: str, tree: ast.Module) -> None:
        self.file, self.tree = file, tree
        self.name = file.removesuffix(".py").replace("/", ".")

    def find_spec(self, name: str, path: object, target: object = None) -> object:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, ROOT / self.file, loader=self)

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: object) -> None:
        exec(compile(self.tree, str(ROOT / self.file), "exec"), module.__dict__)


def run_tests(tests: tuple[str, ...], changed: _Changed | None) -> int:
    """Run test files in this process."""
    import pytest

    if changed is not None:
        sys.meta_path.insert(0, changed)
    options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--no-header"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # plugins are loaded already
    # A folder of its own: other test runs on this computer tidy up the common one.
    options.append(f"--basetemp={SCRATCH.name}/{os.getpid()}")
    return int(pytest.main([*options, *(str(ROOT / test) for test in tests)]))


def in_a_child(work: Callable[[], int], limit_s: float) -> int | None:
    """Do something in a copy of this process; None where it took too long."""
    child = os.fork()
    if child == 0:
        status, told = 70, os.dup(2)
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            os.setsid()
            status = work()
        except BaseException as exc:
            os.write(told, f"a test run broke off: {type(exc).__name__}: {exc}\n".encode())
        os._exit(status)
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def warm(tests: tuple[str, ...]) -> float:
    """Load what the tests need, but nothing of ours; return how long they take unchanged."""
    reading, writing = os.pipe()

    def baseline() -> int:
        status = run_tests(tests, None)
        names = [n for n in sys.modules if n.split(".")[0] not in OURS and n != "__mp_main__"]
        with os.fdopen(writing, "w") as stream:
            json.dump(names, stream)
        return status

    begin_s = time.monotonic()
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        status = 70
        with contextlib.suppress(BaseException):
            status = baseline()
        os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as stream:
        names = json.load(stream)
    _, status = os.waitpid(child, 0)
    took_s = time.monotonic() - begin_s
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{' '.join(tests)}: fails without any change")
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    return took_s


def survivors(
    file: str, mutants: list[Mutant], say: Callable[[str], None]
) -> Iterator[tuple[Mutant, bool]]:
    """Run the tests on each mutant; give it with whether it survived."""
    tests = TARGETS[file]
    limit_s = 10.0 + 5.0 * warm(tests)
    same = _Changed(file, mutate(file, None)[0])
    if in_a_child(lambda: run_tests(tests, same), limit_s) != 0:
        raise SystemExit(f"{' '.join(tests)}: fails without any change")
    for i, mutant in enumerate(mutants):
        changed = _Changed(file, mutate(file, mutant.number)[0])
        for _ in range(2):
            status = in_a_child(lambda changed=changed: run_tests(tests, changed), limit_s)
            if status in JUDGED:
                break
        else:
            raise SystemExit(f"{mutant}: the tests ended twice with {status}")
        if status == 0:
            say(f"survived: {mutant}")
        if (i + 1) % 50 == 0:
            say(f"{file}: {i + 1} of {len(mutants)}")
        yield mutant, status == 0


def allowed() -> list[dict[str, str]]:
    """Mutants that cannot be noticed, each with its reason."""
    with ALLOWED.open("rb") as stream:
        return tomllib.load(stream).get("equivalent", [])


def judge(file: str, survived: list[Mutant], all_mutants: list[Mutant]) -> dict[str, object]:
    """Hold the survivors of a file against the list of those that cannot be noticed."""
    listed = Counter((row["line"], row["change"]) for row in allowed() if row["file"] == file)
    found = Counter((m.text, m.change) for m in survived)
    unlisted = [str(m) for m in survived if found[m.text, m.change] > listed[m.text, m.change]]
    stale = [f"{line}: {change}" for line, change in listed if not found[line, change]]
    return {
        "mutants": len(all_mutants),
        "killed": len(all_mutants) - len(survived),
        "equivalent": len(survived) - len(unlisted),
        "survivors": unlisted,
        "stale": stale,
    }


def planted_table() -> None:
    """Print within how many sequences the campaign finds each planted bug."""
    from tacs.verify import verify_kernel
    from tests.tacs.planted import BUGS, planted

    print(f"{'sequences':>9}  planted bug, and the rules that it broke first")
    for bug in BUGS:
        with planted(bug):
            found = verify_kernel(10_000, 1, until_broken=True)
        rules = ", ".join(name for name, n in found.by_rule.items() if n)
        print(f"{found.sequences if found.violations else 'not found':>9}  {bug.name} ({rules})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", default=None, metavar="FILE", help=", ".join(TARGETS))
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--planted", action="store_true", help="the planted bugs instead")
    parser.add_argument("--list", action="store_true", help="list the changes instead")
    options = parser.parse_args()
    if options.planted:
        planted_table()
        return
    figures: dict[str, dict[str, object]] = {}
    for file in options.files or TARGETS:
        mutants = mutants_of(file)
        if options.list:
            print(*mutants, sep="\n")
            continue
        begin_s = time.monotonic()
        survived = [
            mutant
            for mutant, alive in survivors(file, mutants, lambda t: print(t, file=sys.stderr))
            if alive
        ]
        figures[file] = judge(file, survived, mutants)
        figures[file]["seconds"] = round(time.monotonic() - begin_s, 1)
        print(f"{file:<26} {figures[file]}", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1), encoding="utf-8")
    if any(f["survivors"] or f["stale"] for f in figures.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
