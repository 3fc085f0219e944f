"""What the guardian tells of the sine that is played."""

from __future__ import annotations

import pytest

from tacs.played import Played, PlayedTrack


def told(track):
    return track.told(ready=True)


def test_cycles_run_on_through_every_change_without_a_jump():
    track = PlayedTrack()
    assert told(track) is None
    track.tuned(1.0, 11.0)
    assert told(track) is None
    track.began(100.0, 100.01, 10.0)
    track.tuned(102.01, 10.5)
    track.tuned(104.01, 9.5)
    now = told(track)
    assert now.cycles == pytest.approx(2.0 * 10.0 + 2.0 * 10.5)
    assert (now.started_s, now.tuned_s, now.frequency_hz) == (100.0, 104.01, 9.5)


def test_it_survives_the_way_to_the_front_end():
    track = PlayedTrack()
    track.began(100.0, 100.01, 10.0)
    assert Played.from_dict(told(track).to_dict()) == told(track)
    assert Played.from_dict(None) is None
