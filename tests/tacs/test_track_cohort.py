"""Everybody on one scale: which rating belongs to which visit, and who is behind a mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tacs.cli import call
from tacs.errors import InputError
from tacs.track_cohort import cohort_words, parse_visits, plot_cohort, track_cohort
from tests.tacs.courses import Clinic


@pytest.fixture
def cohort(clinic: Clinic) -> Clinic:
    clinic.rated("madrs", 40, -9.0)  # an earlier rating than the baseline's
    clinic.rated("madrs", 30, -2.0)
    clinic.session("01", 0.0)
    clinic.rated("madrs", 29, 0.5)  # nearer to day 0, but after the first session
    clinic.rated("madrs", 20, 13.0)
    clinic.rated("madrs", 10, 29.0)
    clinic.rated("madrs", 24, 10.0, subject="P02")  # nobody stimulated P02: day 0
    clinic.rated("madrs", 22, 31.0, subject="P02")  # day 21: as far from 14 as from 28
    clinic.rated("madrs", 21, 60.0, subject="P02")  # day 50: in no window
    wrong = clinic.rated("madrs", 1, 5.0, subject="P03")
    clinic.rated("madrs", 35, 5.0, subject="P03", corrects=wrong.entry.hash)
    return clinic


def test_the_rating_of_each_visit(cohort: Clinic):
    found = track_cohort(cohort.dataset, "madrs", (0.0, 14.0, 28.0))
    assert [(v.n, v.mean) for v in found.cohort.visits] == [
        (3, pytest.approx((30 + 24 + 35) / 3)), (2, 21.0), (1, 10.0),
    ]  # fmt: skip
    assert found.cohort.visits[1].change == pytest.approx((-10 - 2) / 2)
    assert found.n_outside == 1
    assert found.lines["P01"][0] == (pytest.approx(-9.0, abs=0.01), 40.0)
    assert "2 of 3 left before the last visit" in "\n".join(cohort_words(found))


def test_the_figure_draws_everybody(cohort: Clinic):
    figure = plot_cohort(track_cohort(cohort.dataset, "madrs", (0.0, 14.0, 28.0)))
    upper, lower = figure.axes
    # Three lines, two intervals, one mean.
    assert len(upper.lines) == 6
    assert [text.get_text() for text in lower.texts] == ["3", "2", "1"]


@pytest.mark.parametrize("text", ["", "0", "14,0", "0,x", "0,0", "0,nan", "0,inf", "-inf,0"])
def test_visits_that_are_refused(text: str):
    with pytest.raises(InputError, match="give rising days"):
        parse_visits(text)


def test_nobody_on_a_scale(cohort: Clinic):
    with pytest.raises(InputError, match="nobody has a total on isi"):
        track_cohort(cohort.dataset, "isi", (0.0, 14.0))


def test_cohort_from_the_command_line(
    cohort: Clinic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    figure = tmp_path / "cohort.png"
    line = ["track", "cohort", str(cohort.dataset), "--scale", "madrs", "--visits", "0,14,28"]
    assert call([*line, "--json", "--figure", str(figure)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["n"], told["n_complete"], len(told["visits"])) == (3, 1, 3)
    assert figure.stat().st_size > 10_000


def test_a_cohort_of_many_has_a_model_beside_the_means(
    clinic: Clinic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for person in range(10):
        name = f"Q{person:02d}"
        for week in range(4 if person % 2 else 3):
            total = 30 - 3 * week + person % 3 + (week * person) % 2
            clinic.rated("madrs", total, 7.0 * week, subject=name)
    found = track_cohort(clinic.dataset, "MADRS", (0.0, 7.0, 14.0, 21.0))
    assert found.model is not None
    # Everybody falls by 3 points a week, give or take one.
    assert found.model.slope["estimate"] == pytest.approx(-3.0, abs=0.4)
    assert [visit["name"] for visit in found.model.visits][-1] == "day 21"
    figure = tmp_path / "cohort.png"
    line = ["track", "cohort", str(clinic.dataset), "--scale", "MADRS", "--visits", "0,7,14,21"]
    assert call([*line, "--json", "--figure", str(figure)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["scale"], told["model_reason"]) == ("madrs", None)
    assert told["model"]["slope_per_week"]["ci95"][1] < 0.0
    assert call(line) == 0
    assert "missing at random" in capsys.readouterr().out
