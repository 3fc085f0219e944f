"""What every page shares: escaping, the filters, and the versions behind it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import jinja2
import pytest

import tacs
from tacs import report_page
from tacs.report_page import render, versions


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A template of a made package's own."""
    folder = tmp_path / "templates"
    folder.mkdir()
    monkeypatch.setattr(report_page.resources, "files", lambda _: tmp_path)
    return folder / "made.html.j2"


def test_every_value_is_escaped(template: Path) -> None:
    template.write_text("<p>{{ name }}</p>", encoding="utf-8")
    page = render("made.html.j2", {"name": "<script>&"})
    assert page == "<p>&lt;script&gt;&amp;</p>"


def test_a_name_that_is_missing_is_an_error(template: Path) -> None:
    template.write_text("{{ name }}", encoding="utf-8")
    with pytest.raises(jinja2.UndefinedError, match="'name' is undefined"):
        render("made.html.j2", {})


def test_filters_of_the_house_and_of_the_page(template: Path) -> None:
    template.write_text("{{ 1.25 | number(1, 'Hz') }}{{ 2 | twice }}", encoding="utf-8")
    page = render("made.html.j2", {}, {"twice": lambda value: 2 * value})
    assert page.replace("\u202f", " ") == "1.2 Hz4"
    with pytest.raises(jinja2.TemplateAssertionError, match="twice"):
        render("made.html.j2", {})


def test_versions_name_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "fooof":
            raise PackageNotFoundError(name)
        return "9.9"

    monkeypatch.setattr(report_page, "version", version)
    assert versions() == (
        ("tacs-suite", tacs.__version__),
        ("Python", platform.python_version()),
        ("mne", "9.9"),
        ("numpy", "9.9"),
        ("scipy", "9.9"),
        ("fooof", "not installed"),
        ("matplotlib", "9.9"),
    )
