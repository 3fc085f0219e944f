"""What every page shares: its pictures, the versions behind it, and the filling of its template."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import tacs
from tacs.errors import InputError
from tacs.report_words import FILTERS

__all__ = ["Picture", "page_and_numbers", "render", "versions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure ready for the page: a data URI, words for those who cannot see it, a caption."""

    src: str
    alt: str
    caption: str


def page_and_numbers(out: str | Path) -> tuple[Path, Path]:
    """Return where a page goes, and the JSON beside it that has its numbers.

    Raises
    ------
    InputError
        The name does not end in ``.html``.
    """
    path = Path(out)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--report {out}: give a name that ends in .html")
    return path, path.with_suffix(".json")


def versions() -> tuple[tuple[str, str], ...]:
    """Versions of what made the numbers and the page."""
    found = [("tacs-suite", tacs.__version__), ("Python", platform.python_version())]
    for name in ("mne", "numpy", "scipy", "fooof", "matplotlib"):
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "not installed"))
    return tuple(found)


def render(
    template: str,
    values: Mapping[str, Any],
    filters: Mapping[str, Any] | None = None,
) -> str:
    """Fill a template; every value is escaped, and a name that it lacks is an error.

    Parameters
    ----------
    template : str
        File below ``tacs/templates``.
    values : mapping
        What the template names.
    filters : mapping of str to callable, optional
        Filters of this page alone, beside those of `tacs.report_words`.

    Returns
    -------
    str
        The page.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(str(resources.files("tacs"))) / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    environment.filters.update(filters or {})
    return environment.get_template(template).render(values)
