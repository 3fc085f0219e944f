"""Events and open eyes: a task-locked rhythm is found in its windows alone, a planted fall is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import mne
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analysis import AnalysisError, find_peak
from analysis.peak import MIN_SEGMENTS
from analysis.states import EventWindow, event_starts
from tests.analysis.noise import coloured
from tests.analysis.simulate import Array, make_eeg

FS_HZ = 125.0
NAMES = ("P3", "Pz", "P4", "O2")
NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def silence(seconds: float, marks: list[tuple[float, str]], sfreq_hz: float = 100.0) -> Any:
    """Recording without signal, with annotations of no length."""
    info = mne.create_info(["O1"], sfreq_hz, "eeg")
    raw = mne.io.RawArray(np.zeros((1, round(seconds * sfreq_hz))), info, verbose="ERROR")
    onsets, names = zip(*marks, strict=True) if marks else ((), ())
    return raw.set_annotations(mne.Annotations(onsets, 0.0, names), verbose="ERROR")


def wave(
    rng: np.random.Generator, seconds: float, center_hz: float, height: float, width_hz: float = 0.5
) -> Array:
    """Narrow-band rhythm `height` times the background of `noise` at its centre."""
    n = round(seconds * FS_HZ)
    freqs = np.fft.rfftfreq(n, 1.0 / FS_HZ)
    line = height / center_hz * np.exp(-0.5 * ((freqs - center_hz) / width_hz) ** 2)
    return coloured(rng, line, 1, n, FS_HZ)


def noise(rng: np.random.Generator, seconds: float) -> Array:
    """Background 1/f of every channel."""
    n = round(seconds * FS_HZ)
    freqs = np.fft.rfftfreq(n, 1.0 / FS_HZ)
    return coloured(rng, 1.0 / np.maximum(freqs, 0.5), len(NAMES), n, FS_HZ)


def raw_of(data: Array, marks: list[float] | None = None, name: str = "go") -> Any:
    info = mne.create_info(list(NAMES), FS_HZ, "eeg")
    raw = mne.io.RawArray(1e-5 * data, info, verbose="ERROR")
    if marks is not None:
        raw.set_annotations(mne.Annotations(marks, 0.0, name), verbose="ERROR")
    return raw


# --- windows ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tmin_s", "tmax_s"),
    [
        (0.0, 0.99),
        (1.0, 0.0),
        (0.0, 0.0),
        (np.nan, 1.0),
        (0.0, np.nan),
        (-np.inf, 0.0),
        (0, np.inf),
    ],
)
def test_a_window_must_be_a_second_long(tmin_s: float, tmax_s: float) -> None:
    with pytest.raises(AnalysisError, match="at least 1 s") as caught:
        EventWindow("go", tmin_s, tmax_s)
    assert "\n" not in str(caught.value)


def test_segments_are_half_the_window_one_second_at_least_and_four_at_most() -> None:
    assert EventWindow("go", 0.0, 1.0).window_s == 1.0
    assert EventWindow("go", 0.0, 1.8).window_s == 1.0
    assert EventWindow("go", -0.5, 2.5).window_s == 1.5
    assert EventWindow("go", 0.0, 9.0).window_s == 4.0
    assert EventWindow("go", 0.5, 2.0).describe() == "0.5 to 2 s after 'go'"


@pytest.mark.parametrize(
    ("onset_s", "window", "want"),
    [
        (10.0, (0.0, 1.0), [1000]),
        (10.0, (0.0, 1.4), [1000]),
        (10.0, (0.0, 1.5), [1000, 1050]),
        (10.0, (-1.0, 1.0), [900, 950, 1000]),
        (10.0, (0.0, 8.0), [1000, 1200, 1400]),
        (10.0, (0.0, 9.9), [1000, 1200, 1400]),
        (10.0, (0.0, 10.0), [1000, 1200, 1400, 1600]),
        (0.0, (0.0, 1.0), [0]),
        (0.0, (-0.01, 1.0), []),
        (29.0, (0.0, 1.0), [2900]),
        (29.01, (0.0, 1.0), []),
        (25.0, (0.0, 8.0), [2500]),
        (1.0, (-3.0, 5.0), [0, 200]),
    ],
)
def test_segments_of_one_event(
    onset_s: float, window: tuple[float, float], want: list[int]
) -> None:
    """Thirty seconds at 100 Hz; what leaves the recording is left out."""
    raw = silence(30.0, [(onset_s, "go")])
    got = event_starts(raw, EventWindow("go", *window))
    np.testing.assert_array_equal(got, want)
    assert got.dtype == np.int64


def test_overlapping_windows_count_each_segment_once_and_in_order() -> None:
    raw = silence(30.0, [(12.0, "go"), (10.0, "go"), (10.0, "go"), (11.0, "other")])
    got = event_starts(raw, EventWindow("go", 0.0, 8.0))
    np.testing.assert_array_equal(got, [1000, 1200, 1400, 1600])


@settings(max_examples=30, deadline=None)
@example(onsets=[5.0], tmin_s=1.4826, length_s=1.0)
@given(
    onsets=st.lists(st.floats(0.0, 29.9), min_size=1, max_size=8),
    tmin_s=st.floats(-3.0, 3.0),
    length_s=st.floats(1.0, 9.0),
)
def test_every_segment_lies_in_a_window_and_in_the_recording(
    onsets: list[float], tmin_s: float, length_s: float
) -> None:
    raw = silence(30.0, [(onset, "go") for onset in onsets])
    window = EventWindow("go", tmin_s, tmin_s + length_s)
    got = event_starts(raw, window)
    length = round(window.window_s * 100.0)
    assert np.all(np.diff(got) > 0)
    for start in got:
        assert 0 <= start <= raw.n_times - length
        assert any(
            start >= (onset + tmin_s) * 100.0 - 1.0
            and start + length <= (onset + window.tmax_s) * 100.0 + 1.5
            for onset in onsets
        )


@pytest.mark.parametrize("dated", [False, True])
def test_a_recording_that_does_not_begin_at_sample_nought(dated: bool) -> None:
    raw = silence(60.0, [(30.0, "go"), (45.0, "go")])
    if dated:
        raw.set_meas_date(datetime(2026, 1, 1, tzinfo=UTC))
        raw.set_annotations(
            mne.Annotations([30.0, 45.0], 0.0, "go", orig_time=raw.info["meas_date"])
        )
    cut = raw.copy().crop(tmin=20.0)
    assert cut.first_samp == 2000
    np.testing.assert_array_equal(event_starts(cut, EventWindow("go", 0.0, 1.0)), [1000, 2500])
    np.testing.assert_array_equal(event_starts(raw, EventWindow("go", 0.0, 1.0)), [3000, 4500])


def test_a_saved_recording_has_its_events_where_they_were(tmp_path: Any) -> None:
    raw = silence(60.0, [(30.0, "go")])
    raw.set_meas_date(datetime(2026, 1, 1, tzinfo=UTC))
    raw.set_annotations(mne.Annotations([30.0], 0.0, "go", orig_time=raw.info["meas_date"]))
    path = tmp_path / "task_raw.fif"
    raw.crop(tmin=12.5).save(path, verbose="ERROR")
    again = mne.io.read_raw_fif(path, verbose="ERROR")
    assert again.first_samp > 0
    np.testing.assert_array_equal(event_starts(again, EventWindow("go", 0.0, 1.0)), [1750])


def test_an_unknown_event_is_refused_with_the_names_there_are() -> None:
    raw = silence(30.0, [(1.0, "stop"), (2.0, "go"), (3.0, "stop")])
    with pytest.raises(AnalysisError, match=r"no event 'Go' in the recording; it has go, stop$"):
        event_starts(raw, EventWindow("Go", 0.0, 1.0))
    with pytest.raises(AnalysisError, match=r"it has none$"):
        event_starts(silence(30.0, []), EventWindow("go", 0.0, 1.0))
    with pytest.raises(AnalysisError, match="no event 'go'"):
        find_peak(make_eeg(1, duration_s=60.0).raw(), events=EventWindow("go", 0.0, 2.0))


# --- a rhythm around events ------------------------------------------------------------------

ONSETS = [2.0 + 4.0 * i for i in range(45)]
SECONDS = 184.0


def gated(seed: int, *rhythms: tuple[float, float, float]) -> Any:
    """Rhythms of given frequency from so many to so many seconds after each event."""
    rng = np.random.default_rng(seed)
    data = noise(rng, SECONDS)
    time_s = np.arange(data.shape[1]) / FS_HZ
    for center_hz, first_s, last_s in rhythms:
        on = np.zeros(time_s.size)
        for onset in ONSETS:
            on[(time_s >= onset + first_s) & (time_s < onset + last_s)] = 1.0
        data = data + on * wave(rng, SECONDS, center_hz, 6.0)
    return raw_of(data, ONSETS)


@pytest.mark.parametrize("truth_hz", [8.7, 11.2])
def test_a_rhythm_after_events_is_found_with_them(truth_hz: float) -> None:
    held = 0
    for seed in range(4):
        raw = gated(100 + seed, (truth_hz, 0.0, 2.0))
        found = find_peak(raw, events=EventWindow("go", 0.0, 2.0), now=NOW)
        assert found.status == "found"
        assert found.frequency_hz == pytest.approx(truth_hz, abs=0.3)
        assert found.ci95_hz is not None
        held += found.ci95_hz[0] <= truth_hz <= found.ci95_hz[1]
        assert found.seconds_used == pytest.approx(90.0, abs=4.0)
        assert "0 to 2 s after 'go'" in found.method
        assert "Hann 1 s" in found.method
    assert held >= 3


def test_a_rhythm_outside_the_windows_is_not_found_in_them() -> None:
    false = 0
    for seed in range(10):
        raw = gated(200 + seed, (10.0, 0.0, 2.0))
        found = find_peak(raw, events=EventWindow("go", 2.0, 4.0), now=NOW)
        assert found.status in {"found", "no_peak"}
        false += found.status == "found"
        assert find_peak(raw, now=NOW).frequency_hz == pytest.approx(10.0, abs=0.3)
    assert false == 0


def test_two_states_have_their_own_peaks() -> None:
    raw = gated(300, (8.6, 0.0, 2.0), (11.6, 2.0, 4.0))
    for window, truth_hz in (((0.0, 2.0), 8.6), ((2.0, 4.0), 11.6)):
        found = find_peak(raw, events=EventWindow("go", *window), now=NOW)
        assert found.frequency_hz == pytest.approx(truth_hz, abs=0.3)
        assert len(found.peaks) == 1


def test_too_few_events_are_unusable_and_counted() -> None:
    raw = gated(400, (10.0, 0.0, 2.0))
    raw.set_annotations(mne.Annotations(ONSETS[: MIN_SEGMENTS - 1], 0.0, "go"), verbose="ERROR")
    found = find_peak(raw, events=EventWindow("go", 0.0, 1.0), now=NOW)
    assert found.status == "unusable"
    assert found.frequency_hz is None
    assert any(
        f"only {MIN_SEGMENTS - 1} clean pieces of 1 s" in text and f"{MIN_SEGMENTS} are" in text
        for text in found.reasons
    )
    raw.set_annotations(mne.Annotations(ONSETS[:5], 0.0, "go"), verbose="ERROR")
    assert find_peak(raw, events=EventWindow("go", -9.0, -8.0)).status == "unusable"


def test_equal_input_equal_output_with_everything_asked_for() -> None:
    raw = gated(500, (10.0, 0.0, 2.0))
    options: dict[str, Any] = {"events": EventWindow("go", 0.0, 2.0), "cross_check": True}
    one, two = (find_peak(raw, now=NOW, **options).to_dict() for _ in range(2))
    assert one == two
    assert one["status"] == "found"


# --- eyes closed and open --------------------------------------------------------------------


def state(seed: int, gain: float, *, seconds: float = 90.0, unit: float = 1.0) -> Any:
    """One state of a person with a 10 Hz rhythm; `gain` is the rhythm's amplitude."""
    rng = np.random.default_rng(seed)
    data = noise(rng, seconds) + gain * wave(rng, seconds, 10.0, 6.0)
    return raw_of(unit * data)


def test_a_planted_fall_is_found() -> None:
    """Half the amplitude is -6 dB of the rhythm, whatever happens beside it."""
    found = []
    for seed in range(10):
        estimate = find_peak(state(2 * seed, 1.0), open_eyes=state(2 * seed + 1, 0.5), now=NOW)
        assert estimate.frequency_hz == pytest.approx(10.0, abs=0.3)
        out = estimate.reactivity
        assert out is not None
        assert out.reactive
        assert not out.at_most
        assert out.difference_z > 2.0
        assert f"falls by {-out.change_db:.1f} dB" in out.describe()
        found.append(out.change_db)
        assert not any("eyes open" in text for text in estimate.warnings)
    assert np.mean(found) == pytest.approx(-6.02, abs=0.5)
    assert np.abs(np.array(found) + 6.02).max() < 2.0


def test_a_rhythm_that_does_not_fall_is_seldom_called_reactive() -> None:
    reactive, changes = 0, []
    for seed in range(40):
        estimate = find_peak(state(1000 + seed, 1.0), open_eyes=state(2000 + seed, 1.0), now=NOW)
        out = estimate.reactivity
        assert out is not None
        reactive += out.reactive
        changes.append(out.change_db)
        said = [text for text in estimate.warnings if text.startswith("eyes open")]
        assert len(said) == (not out.reactive)
        assert out.reactive or "does not fall reliably" in said[0]
    assert reactive <= 4
    assert np.mean(changes) == pytest.approx(0.0, abs=0.4)


def test_a_rhythm_that_rises_is_not_reactive() -> None:
    out = find_peak(state(3000, 0.7), open_eyes=state(3001, 1.4), now=NOW).reactivity
    assert out is not None
    assert not out.reactive
    assert out.change_db == pytest.approx(6.0, abs=2.0)
    assert out.difference_z < 0.0


def test_a_rhythm_that_is_gone_falls_by_at_least_something() -> None:
    limits = []
    for seed in range(6):
        estimate = find_peak(state(3100 + seed, 1.0), open_eyes=state(3200 + seed, 0.0), now=NOW)
        out = estimate.reactivity
        assert out is not None
        assert out.reactive
        assert out.change_db < -6.0
        assert ("at least" in out.describe()) == out.at_most
        limits.append(out.at_most)
    assert any(limits)


def test_open_recording_in_other_noise_does_not_hide_the_fall() -> None:
    """The fall is one of the rhythm's power, not of its share in the channel's."""
    rng = np.random.default_rng(3300)
    loud = 2.0 * noise(rng, 120.0) + 0.5 * wave(rng, 120.0, 10.0, 6.0)
    out = find_peak(state(3301, 1.0, seconds=120.0), open_eyes=raw_of(loud), now=NOW).reactivity
    assert out is not None
    assert out.change_db == pytest.approx(-6.0, abs=3.0)
    assert out.reactive


def test_an_unusable_open_recording_is_told_and_changes_nothing_else() -> None:
    closed = state(3400, 1.0)
    plain = find_peak(closed, now=NOW)
    short = find_peak(closed, open_eyes=state(3401, 1.0, seconds=12.0), now=NOW)
    assert short.reactivity is None
    said = [text for text in short.warnings if text.startswith("eyes open: not usable")]
    assert len(said) == 1
    assert "12.0 s" in said[0]
    assert short.frequency_hz == plain.frequency_hz
    assert short.ci95_hz == plain.ci95_hz
    dead = state(3402, 0.5)
    dead._data[NAMES.index("O2")] = 0.0
    missing = find_peak(closed, open_eyes=dead, now=NOW)
    assert missing.reactivity is None
    assert any("eyes open: not compared, O2 cannot be used" in text for text in missing.warnings)


def test_an_open_recording_without_those_channels_is_refused_in_one_line() -> None:
    other = make_eeg(3500, ch_names=("Fz", "Cz"), duration_s=60.0, sfreq_hz=FS_HZ).raw()
    with pytest.raises(AnalysisError, match="no EEG channel P3") as caught:
        find_peak(state(3501, 1.0), open_eyes=other, now=NOW)
    assert "\n" not in str(caught.value)


def test_without_a_peak_there_is_nothing_to_compare() -> None:
    found = find_peak(state(3600, 0.0), open_eyes=state(3601, 0.0), now=NOW)
    assert found.status == "no_peak"
    assert found.reactivity is None
