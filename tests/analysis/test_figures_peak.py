"""Figures of hand-made estimates: what is drawn, what is said, and that no words cover others."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import AnalysisError
from analysis.estimate import ChannelPeak, Peak, PeakEstimate, Stability
from analysis.figures import plot_peak, plot_peak_panels
from analysis.figures_channels import ranked
from analysis.figures_peak import headline, stability_words
from tests.analysis import made_estimate as made

SIXTY_FOUR = (
    *("Fp1", "Fpz", "Fp2", "AF7", "AF3", "AFz", "AF4", "AF8", "F7", "F5", "F3", "F1", "Fz", "F2"),
    *("F4", "F6", "F8", "FT7", "FC5", "FC3", "FC1", "FCz", "FC2", "FC4", "FC6", "FT8", "T7", "C5"),
    *("C3", "C1", "Cz", "C2", "C4", "C6", "T8", "TP7", "CP5", "CP3", "CP1", "CPz", "CP2", "CP4"),
    *("CP6", "TP8", "P7", "P5", "P3", "P1", "Pz", "P2", "P4", "P6", "P8", "PO7", "PO3", "POz"),
    *("PO4", "PO8", "O1", "Oz", "O2", "Iz", "T9", "T10"),
)


def dense() -> PeakEstimate:
    """A found peak on a dense cap."""
    spectrum = made.made_spectrum(made.found().peaks, names=SIXTY_FOUR)
    table = made.made_table(SIXTY_FOUR, made.PEAK_HZ)
    return made.found(spectrum=spectrum, channel_table=table)


def doubtful() -> PeakEstimate:
    """Everything that can be said against a peak, and no electrode positions."""
    spectrum = made.made_spectrum(made.found().peaks, placed=False)
    moved = Stability(9.6, 10.4, 0.8, (0.3, 1.3), None, stable=False)
    return made.found(provisional=True, replication=True, spectrum=spectrum, stability=moved)


STATES: dict[str, Callable[[], PeakEstimate]] = {
    "old": made.old_estimate,
    "found": made.found,
    "split": made.split,
    "no peak": lambda: made.no_peak(provisional=True),
    "doubtful": doubtful,
    "dense": dense,
    "no subject": lambda: made.found(subject=None, channel_table=(), aperiodic_knee_hz=6.2),
}


def words(figure: Any) -> list[Any]:
    """Every text of a figure that a reader sees."""
    from matplotlib.text import Text

    figure.draw_without_rendering()
    outside = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high:
                    outside |= {id(tick.label1), id(tick.label2)}
    found = figure.findobj(Text)
    return [t for t in found if t.get_visible() and t.get_text().strip() and id(t) not in outside]


def assert_legible(figure: Any) -> None:
    """No text covers another one or runs off the figure; none is smaller than 5.8 points."""
    shown = words(figure)
    assert shown
    boxes = [text.get_window_extent() for text in shown]
    edge = figure.bbox
    for text, box in zip(shown, boxes, strict=True):
        assert text.get_fontsize() >= 5.8, text.get_text()
        assert box.x0 >= edge.x0 - 1.0, text.get_text()
        assert box.x1 <= edge.x1 + 1.0, text.get_text()
        assert box.y0 >= edge.y0 - 1.0, text.get_text()
        assert box.y1 <= edge.y1 + 1.0, text.get_text()
    for i, one in enumerate(boxes):
        for j in range(i):
            other = boxes[j]
            across = min(one.x1, other.x1) - max(one.x0, other.x0)
            along = min(one.y1, other.y1) - max(one.y0, other.y0)
            covered = across > 1.5 and along > 1.5
            assert not covered, f"{shown[i].get_text()!r} covers {shown[j].get_text()!r}"


def said(figure: Any) -> str:
    """Everything written on a figure, on one line."""
    return " ".join(" ".join(text.get_text() for text in words(figure)).split())


@pytest.mark.parametrize("state", STATES)
def test_words_do_not_cover_each_other(state: str) -> None:
    estimate = STATES[state]()
    assert_legible(plot_peak(estimate))
    for figure in plot_peak_panels(estimate).values():
        assert_legible(figure)


def test_the_check_of_legibility_can_fail() -> None:
    figure = plot_peak(made.old_estimate())
    figure.text(0.5, 0.5, "one")
    figure.text(0.505, 0.505, "two")
    with pytest.raises(AssertionError, match="covers"):
        assert_legible(figure)


@pytest.mark.parametrize(
    ("estimate", "panels"),
    [
        (made.old_estimate(), {"spectrum", "topography"}),
        (made.found(), {"spectrum", "channels", "topography", "halves"}),
        (made.split(), {"spectrum", "channels", "topography", "halves"}),
        (made.no_peak(), {"spectrum", "channels", "halves"}),
        (doubtful(), {"spectrum", "channels", "halves"}),
        (made.found(spectrum=None), {"channels"}),
        (made.unusable(), set()),
    ],
)
def test_panels_are_those_that_the_estimate_can_fill(
    estimate: PeakEstimate, panels: set[str]
) -> None:
    assert set(plot_peak_panels(estimate)) == panels


def test_first_fields_alone_give_spectrum_and_map() -> None:
    placed = plot_peak(made.old_estimate())
    assert len(placed.axes) == 3  # spectrum, head, colour bar
    bare = made.made_spectrum(made.found().peaks, placed=False, complete=False)
    assert len(made.old_estimate(spectrum=bare).plot().axes) == 1
    assert "dB over the channel's mean" in said(placed)


def test_a_found_peak_is_marked_with_its_interval() -> None:
    estimate = made.found()
    axes = plot_peak(estimate).axes[0]
    assert axes.get_title(loc="left") == headline(estimate)
    assert "10.05 Hz" in headline(estimate)
    assert "9.93–10.17 Hz" in headline(estimate)
    marks = {patch.get_label(): patch for patch in axes.patches}
    box = marks["95 % interval"].get_extents().transformed(axes.transData.inverted())
    assert (box.x0, box.x1) == pytest.approx((9.93, 10.17))
    lines = {line.get_label(): line for line in axes.lines}
    assert set(lines["peak, 10.05 Hz"].get_xdata()) == {10.05}
    assert lines["fooof's peak, 10.11 Hz"].get_xdata()[0] == 10.11
    assert estimate.spectrum is not None
    for label, curve in (
        ("measured", estimate.spectrum.power_db),
        ("fit", estimate.spectrum.model_db),
        ("background of the fit", estimate.spectrum.background_db),
        ("1/f background, exponent 1.20", estimate.spectrum.aperiodic_db),
    ):
        assert np.array_equal(lines[label].get_ydata(), curve)


def test_a_split_rhythm_shows_both_peaks_and_no_interval() -> None:
    estimate = made.split()
    figure = plot_peak(estimate)
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "Split rhythm: 8.90 and 10.60 Hz, no interval"
    lines = {line.get_label(): line for line in axes.lines}
    assert set(lines["10.60 Hz, used by a recipe"].get_xdata()) == {10.6}
    assert set(lines["8.90 Hz, second peak"].get_xdata()) == {8.9}
    assert "95 % interval" not in axes.get_legend_handles_labels()[1]


def test_an_interval_of_a_split_rhythm_is_never_drawn() -> None:
    axes = plot_peak(made.split(ci95_hz=(10.4, 10.8))).axes[0]
    assert "95 % interval" not in axes.get_legend_handles_labels()[1]
    assert "no interval" in axes.get_title(loc="left")


def test_no_peak_marks_nothing_and_says_why() -> None:
    estimate = made.no_peak()
    figure = plot_peak(estimate)
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "No peak reported"
    assert estimate.reasons[0] in said(figure)
    assert "Prominence at" not in said(figure)
    assert "No channel shows a peak of its own" in said(figure)
    assert not [line for line in axes.lines if len(set(line.get_xdata())) == 1]


def test_doubts_stand_in_the_figure() -> None:
    text = said(plot_peak(doubtful()))
    assert "Provisional: too little was recorded" in text
    assert "Published method, for comparison only: not for a plan" in text
    assert "The peak moved within the recording" in text


@pytest.mark.parametrize(
    ("estimate", "line"),
    [
        (made.unusable(), r"no spectrum to draw \(12 s usable: 30 s is the least\)"),
        (made.found(spectrum=None), "it was read from a file"),
    ],
)
def test_without_a_spectrum_there_is_one_clear_line(estimate: PeakEstimate, line: str) -> None:
    with pytest.raises(AnalysisError, match=line) as caught:
        plot_peak(estimate)
    assert "\n" not in str(caught.value)


def test_every_curve_is_told_apart_without_colour() -> None:
    for estimate in (made.found(), made.split()):
        for axes in plot_peak(estimate).axes:
            curves = [x for x in axes.lines if not x.get_label().startswith("_")]
            looks = [(x.get_linestyle(), x.get_linewidth(), x.get_marker()) for x in curves]
            assert len(set(looks)) == len(looks), [x.get_label() for x in curves]


def test_the_map_darkens_with_prominence() -> None:
    figure = plot_peak_panels(made.found())["topography"]
    image = figure.axes[0].images[0]
    colours = image.get_cmap()(np.linspace(0.0, 1.0, 64))[:, :3]
    assert np.all(np.diff(colours @ [0.299, 0.587, 0.114]) < 0.0)
    assert image.get_clim() == pytest.approx((min(made.prominence("Fp2"), 0.0), 11.9))


def test_channels_show_peak_error_and_prominence() -> None:
    estimate = made.found()
    figure = plot_peak_panels(estimate)["channels"]
    peaks, heights = figure.axes
    rows, left_out = ranked(estimate.channel_table)
    assert left_out == 0
    assert [text.get_text() for text in peaks.get_yticklabels()] == [row.channel for row in rows]
    drawn = sorted(
        (float(x), round(float(y)))
        for container in peaks.containers
        for x, y in zip(*container.lines[0].get_data(), strict=True)
    )
    assert drawn == sorted(
        (row.frequency_hz, place) for place, row in enumerate(rows) if row.frequency_hz is not None
    )
    bars = {round(bar.get_y() + bar.get_height() / 2.0): bar for bar in heights.patches}
    assert [bars[i].get_width() for i in range(len(rows))] == [r.prominence_db for r in rows]


channels = st.builds(
    ChannelPeak,
    channel=st.text(max_size=5),
    used=st.booleans(),
    prominence_db=st.floats(-5.0, 20.0),
    frequency_hz=st.none() | st.floats(7.0, 13.0),
    sd_hz=st.none() | st.floats(0.0, 1.0),
)


@settings(deadline=None)
@given(table=st.lists(channels, max_size=40).map(tuple), most=st.integers(1, 30))
def test_used_channels_are_left_out_last(table: tuple[ChannelPeak, ...], most: int) -> None:
    rows, left_out = ranked(table, most)
    assert len(rows) == min(most, len(table)) == len(table) - left_out
    assert all(a.prominence_db >= b.prominence_db for a, b in itertools.pairwise(rows))
    used = sum(row.used for row in table)
    assert sum(row.used for row in rows) == min(used, most)


def test_names_of_channels_are_no_formulas() -> None:
    names = ("$x^{", "_hidden", "a\\b", "<b>", "O1")
    table = tuple(ChannelPeak(name, True, 5.0, 10.0, 0.1) for name in names)
    estimate = made.no_peak(channel_table=table, subject="$_{", reasons=("a $ and a {",))
    figure = plot_peak(estimate)
    for name in (*names, "$_{", "a $ and a {"):
        assert name in said(figure)


@pytest.mark.parametrize(
    ("stability", "text"),
    [
        (
            Stability(10.02, 10.09, 0.07, (-0.11, 0.25), None, stable=True),
            "First half 10.02 Hz, second half 10.09 Hz; difference +0.07 Hz (95 % interval −0.11 "
            "to +0.25 Hz). No shift can be told from chance.",
        ),
        (
            Stability(9.6, 10.4, 0.8, (0.3, 1.3), None, stable=False),
            "First half 9.60 Hz, second half 10.40 Hz; difference +0.80 Hz (95 % interval +0.30 "
            "to +1.30 Hz). The peak moved within the recording.",
        ),
        (
            Stability(9.6, 9.6, 0.0, None, None, stable=None),
            "First half 9.60 Hz, second half 9.60 Hz; difference 0.00 Hz. Whether the peak moved "
            "cannot be judged.",
        ),
        (
            Stability(None, 9.6, None, None, None, stable=None),
            "Second half 9.60 Hz; the first half shows no peak of its own.",
        ),
        (
            Stability(None, None, None, None, None, stable=None),
            "Neither half of the recording shows a peak of its own.",
        ),
    ],
)
def test_stability_in_words(stability: Stability, text: str) -> None:
    assert stability_words(stability).replace("\u00a0", " ") == text


def test_headlines() -> None:
    assert headline(made.no_peak()) == "No peak reported"
    assert headline(made.found(ci95_hz=None)) == "Peak 10.05 Hz, no interval"
    lone = replace(made.found(), peaks=(), prominence_db=None)
    assert headline(lone) == "Peak 10.05 Hz  (95 % interval 9.93–10.17 Hz)"
    swapped = made.split(peaks=(Peak(8.9, 8.0, 1.0, 1.0), Peak(10.6, 7.0, 0.85, 1.0)))
    assert headline(swapped).startswith("Split rhythm: 8.90 and 10.60 Hz")
