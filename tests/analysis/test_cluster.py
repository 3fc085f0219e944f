"""Cluster tests: mne's masses and p-values for the same permutations, known truth, fair chance."""

from __future__ import annotations

from typing import Any

import mne
import numpy as np
import pytest
from scipy import stats

from analysis import cluster as module
from analysis import cluster_labels
from analysis.cluster import channel_adjacency, cluster_test, cluster_test_paired
from analysis.errors import AnalysisError
from analysis.resampling import LabelSets, label_sets

ENGINES = (False, True)
RING = np.roll(np.eye(8), 1, axis=1)  # channels in a circle, given one way round only


def made(seed: int, n: int, shift: float = 0.0) -> np.ndarray:
    """Noise; `shift` moves channels 2 to 4 at frequencies 5 to 8."""
    values = np.random.default_rng(seed).standard_normal((n, 8, 12))
    values[:, 2:5, 5:9] += shift
    return values


def for_mne(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values.transpose(0, 2, 1))


def sparse_ring() -> Any:
    from scipy.sparse import coo_array

    return coo_array(RING + RING.T)


@pytest.mark.parametrize("compiled", ENGINES)
def test_independent_samples_equal_mne(compiled: bool) -> None:
    before, after = made(1, 14), made(2, 11, 1.0)
    statistic, clusters, p, null = mne.stats.spatio_temporal_cluster_test(
        [for_mne(before), for_mne(after)], adjacency=sparse_ring(), n_permutations=150,
        rng=np.random.RandomState(7), verbose="ERROR",
    )  # fmt: skip
    rng = np.random.RandomState(7)
    rows = np.zeros((150, 25))
    rows[0, 14:] = 1.0
    for row in rows[1:]:
        row[rng.permutation(25)[14:]] = 1.0
    labels = LabelSets(rows, 14, 11, 1, 0, exact=False)
    found = cluster_test(before, after, RING, statistic="F", labels=labels, compiled=compiled)
    assert found.statistic == pytest.approx(statistic.T, abs=1e-10)
    assert found.threshold == pytest.approx(stats.f.ppf(0.95, 1, 23))
    expected = sorted(((statistic[c].sum(), q) for c, q in zip(clusters, p, strict=True)),
                      reverse=True)  # fmt: skip
    assert [c.mass for c in found.clusters] == pytest.approx([m for m, _ in expected], rel=1e-10)
    assert [c.p for c in found.clusters] == pytest.approx([q for _, q in expected])
    assert np.sort(found.null_mass) == pytest.approx(np.sort(null[1:]), rel=1e-9)
    assert found.engine == ("numba" if compiled else "numpy")


@pytest.mark.parametrize("compiled", ENGINES)
def test_paired_differences_equal_mne(compiled: bool) -> None:
    differences = made(3, 8, 0.9)
    statistic, clusters, p, null = mne.stats.spatio_temporal_cluster_1samp_test(
        for_mne(differences), adjacency=sparse_ring(), n_permutations=1000, verbose="ERROR"
    )
    found = cluster_test_paired(differences, RING, compiled=compiled)
    assert found.exact
    assert found.n_permutations == 127
    assert found.p_smallest == 1.0 / 128.0
    assert found.statistic == pytest.approx(statistic.T, abs=1e-10)
    expected = sorted(((statistic[c].sum(), q) for c, q in zip(clusters, p, strict=True)),
                      key=lambda one: -abs(one[0]))  # fmt: skip
    assert [c.mass for c in found.clusters] == pytest.approx([m for m, _ in expected], rel=1e-10)
    assert [c.p for c in found.clusters] == pytest.approx([q for _, q in expected])
    assert np.sort(found.null_mass) == pytest.approx(np.sort(np.abs(null[1:])), rel=1e-9)


def test_a_planted_change_is_found_where_it_is_with_its_sign() -> None:
    for shift in (1.2, -1.2):
        found = cluster_test(made(4, 40), made(5, 40, shift), RING, n_permutations=400)
        top = found.clusters[0]
        assert np.sign(top.mass) == np.sign(shift)
        assert top.p == pytest.approx(found.p_smallest)
        inside = (top.channels >= 2) & (top.channels <= 4) & (top.freqs >= 5) & (top.freqs <= 8)
        assert inside.sum() >= 10
        assert (~inside).sum() <= 4
        assert top.mass == pytest.approx(found.statistic[top.channels, top.freqs].sum())
        assert all(one.p > 0.05 for one in found.clusters[1:])
        direct = stats.ttest_ind(made(5, 40, shift), made(4, 40)).statistic
        assert found.statistic == pytest.approx(direct, abs=1e-10)
        assert found.degrees_of_freedom == 78
        assert found.p_points[3, 6] <= 0.05
        assert np.mean(found.p_points[6:, :4] <= 0.05) < 0.1


def test_directions_are_kept_apart_by_t_and_joined_by_f() -> None:
    before, after = np.zeros((30, 8, 12)), np.zeros((30, 8, 12))
    rng = np.random.default_rng(6)
    before += 0.3 * rng.standard_normal(before.shape)
    after += 0.3 * rng.standard_normal(after.shape)
    after[:, 2, 5:8] += 1.0
    after[:, 3, 5:8] -= 1.0
    apart = cluster_test(before, after, RING, threshold=4.0, n_permutations=50)
    joined = cluster_test(before, after, RING, statistic="F", threshold=16.0, n_permutations=50)
    assert sorted(np.sign(c.mass) for c in apart.clusters) == [-1.0, 1.0]
    assert len(joined.clusters) == 1
    assert joined.clusters[0].channels.size == 6
    assert joined.statistic == pytest.approx(apart.statistic**2)


@pytest.mark.parametrize("compiled", ENGINES)
def test_labels_of_all_clusters_equal_a_flood_fill(compiled: bool) -> None:
    # The largest mass over many random maps, against the plainest search there is.
    rng = np.random.default_rng(8)
    r = np.tanh(rng.standard_normal((60, 8 * 12)))
    indices, indptr = cluster_labels.neighbours(RING, 8)
    largest_masses: Any = cluster_labels.largest_masses
    if compiled:
        largest_masses = pytest.importorskip("analysis.cluster_numba").largest_masses
    mass, largest = largest_masses(r, 0.6, 10.0, False, indices, indptr, 12)
    for row, found, top in zip(r, mass, largest, strict=True):
        values = row.reshape(8, 12)
        sign = np.where(np.abs(values) > 0.6, np.sign(values), 0.0)
        t = values * np.sqrt(10.0 / (1.0 - values**2))
        best, seen = 0.0, set()
        for start in zip(*np.nonzero(sign), strict=True):
            if start in seen:
                continue
            seen.add(start)
            todo, total = [start], 0.0
            while todo:
                c, f = todo.pop()
                total += t[c, f]
                for near in (((c + 1) % 8, f), ((c - 1) % 8, f), (c, f + 1), (c, f - 1)):
                    if 0 <= near[1] < 12 and near not in seen and sign[near] == sign[c, f]:
                        seen.add(near)
                        todo.append(near)
            best = max(best, abs(total))
        assert found == pytest.approx(best)
        assert top == np.abs(row).max()


def test_nothing_changed_is_seldom_called_a_change() -> None:
    found = [
        cluster_test(made(200 + seed, 10), made(400 + seed, 10), RING, n_permutations=59, seed=seed)
        for seed in range(120)
    ]
    smallest = np.array([one.clusters[0].p if one.clusters else 1.0 for one in found])
    assert np.sum(smallest <= 0.05) <= 13  # 6 expected; more in 0.5 % of runs
    points = np.array([one.p_points.min() for one in found])
    assert np.sum(points <= 0.05) <= 13
    assert np.sum(points <= 0.5) >= 40


def test_blocks_move_together_and_progress_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_BYTES", 8 * 96 * 7)
    told: list[float] = []
    found = cluster_test(made(9, 12), made(10, 13), RING, block=3, progress=told.append)
    assert found.exact
    assert found.n_permutations == 69
    assert told[-1] == 1.0
    assert len(told) == 10
    again = cluster_test(
        made(9, 12), made(10, 13)[:12], RING, labels=label_sets(12, 12, 70, block=3)
    )
    assert [c.p for c in again.clusters] == [c.p for c in found.clusters]


def test_what_never_varies_differs_from_nothing() -> None:
    before, after = made(11, 10), made(12, 10)
    for side in (before, after):
        side[:, 1] = 0.1
    found = cluster_test(before, after, RING, n_permutations=20)
    assert not found.statistic[1].any()
    assert np.all(found.p_points[1] == 1.0)
    differences = made(13, 9)
    differences[:, 1] = 0.7
    assert not cluster_test_paired(differences, RING, n_permutations=20).statistic[1].any()


def test_neighbours_come_from_the_places_of_the_channels() -> None:
    montage = mne.channels.make_standard_montage("biosemi64")
    info = mne.create_info(montage.ch_names, 250.0, "eeg").set_montage(montage)
    adjacency, names = channel_adjacency(info)
    assert names == montage.ch_names
    row = np.asarray(adjacency.todense())[names.index("Oz")]
    assert {"O1", "O2", "POz"} <= {names[i] for i in np.flatnonzero(row)}
    assert not row[names.index("Fz")]
    with pytest.raises(AnalysisError, match="cannot be found"):
        channel_adjacency(mne.create_info(["a", "b", "c", "d"], 250.0, "eeg"))


def test_what_cannot_be_tested_is_refused() -> None:
    good = made(14, 6)
    broken = good.copy()
    broken[0, 0, 0] = np.nan
    for words, call in (
        ("2 dimensions", lambda: cluster_test(good[0], good, RING)),
        ("differ in channels", lambda: cluster_test(good, good[:, :, :3], RING)),
        ("not finite", lambda: cluster_test(good, broken, RING)),
        ("adjacency of 8 x 8 for 4", lambda: cluster_test(good[:, :4], good[:, :4], RING)),
        ("three or more", lambda: cluster_test(good[:1], good[:1], RING)),
        ("give a positive number", lambda: cluster_test(good, good, RING, threshold=-1.0)),
        ("is not known", lambda: cluster_test(good, good, RING, statistic="z")),  # type: ignore[arg-type]
        ("labels for 7 and 6", lambda: cluster_test(good, good, RING, labels=label_sets(7, 6, 2))),
        ("1 difference", lambda: cluster_test_paired(good[:1], RING)),
        ("rows of 6 times", lambda: cluster_test_paired(good, RING, signs=-np.ones((3, 6)))),
    ):  # fmt: skip
        with pytest.raises(AnalysisError, match=words):
            call()
