"""Documentation that is checked: the command reference, the links, the examples named in it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_reference import TARGET

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_command_reference_is_what_the_commands_say():
    code = "from tests.command_reference import reference; print(reference(), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == TARGET.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_command_in_the_documentation_exists():
    from tacs.cli import COMMANDS

    for page in PAGES:
        for name in re.findall(r"^\s*tacs ([a-z]+)", page.read_text(encoding="utf-8"), re.M):
            assert name in COMMANDS, f"{page.name}: tacs {name}"
