from __future__ import annotations

import math

import numpy as np

from livf.lib.evaluation.resampling import clustered_intervals


def mean_of(values):
    return lambda index: [float(values[index].mean())]


def test_members_of_a_cluster_are_drawn_together():
    """Opposite sides cancel in every draw of whole patients, so the mean never moves."""
    values = np.array([1.0, -1.0, 5.0, -5.0, 9.0, -9.0])
    [(low, high)] = clustered_intervals(mean_of(values), list("aabbcc"), resamples=200, seed=0)
    assert (low, high) == (0.0, 0.0)
    [(low, high)] = clustered_intervals(mean_of(values), list("abcdef"), resamples=200, seed=0)
    assert low < -1 < 1 < high


def test_it_is_about_students_interval_where_all_are_independent():
    values = np.random.default_rng(2).normal(size=300)
    [(low, high)] = clustered_intervals(mean_of(values), [str(i) for i in range(300)], resamples=2000, seed=0)
    half = 1.96 * values.std(ddof=1) / math.sqrt(300)
    np.testing.assert_allclose([low, high], [values.mean() - half, values.mean() + half], atol=0.02)


def test_too_few_clusters_have_no_interval():
    [(low, high)] = clustered_intervals(mean_of(np.arange(4.0)), list("aabb"), resamples=50, seed=0)
    assert math.isnan(low) and math.isnan(high)


def test_an_often_undefined_statistic_has_no_interval():
    def statistic(index):
        return [1.0 if 0 in index else math.nan]

    [(low, _)] = clustered_intervals(statistic, list("abcd"), resamples=300, seed=0)
    assert math.isnan(low)
