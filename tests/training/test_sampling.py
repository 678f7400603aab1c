"""Order and variation by counters: every case once an epoch, nobody counted twice, the same wherever it starts."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from livf.lib.training.cache import PreparedCase
from livf.lib.training.presets import preset
from livf.lib.training.sampling import Epochs, TrainingCases, ValidationCases


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 5), st.integers(0, 3))
def test_every_case_comes_once_an_epoch_whatever_the_processes(cases: int, batch: int, many: int, epoch: int) -> None:
    epochs = Epochs(cases, seed=3, batch=batch, micro_batches=many)
    steps = [epochs(epoch * epochs.steps + step) for step in range(epochs.steps)]
    keys = [key for step in steps for part in step for key in part]
    assert sorted(keys) == [(epoch, number) for number in range(cases)]
    for step in steps:
        assert len(step) == many
        sizes = [len(part) for part in step]
        assert max(sizes) <= batch
        assert max(sizes) - min(sizes) <= 1
    assert all(len(part) == batch for step in steps[:-1] for part in step)


def test_the_order_changes_with_epoch_and_seed() -> None:
    orders = {
        tuple(number for step in range(8) for part in Epochs(16, seed, 2, 1)(first + step) for _, number in part)
        for seed in (0, 1)
        for first in (0, 8)
    }
    assert len(orders) == 4


def prepared() -> PreparedCase:
    config = preset("smoke").preprocess
    shape = tuple(size + 4 for size in config.box_shape)
    rng = np.random.default_rng(0)
    label = np.zeros(shape, dtype=np.uint8)
    label[8:12, 10:20, 10:20] = 2
    image = rng.normal(0, 1, shape).astype(np.float16)
    image[:3] = 0
    return PreparedCase("a", image, label, (slice(3, shape[0]), slice(0, shape[1]), slice(0, shape[2])))


def test_a_case_is_varied_by_epoch_and_number_alone() -> None:
    config = preset("smoke")
    cases = TrainingCases([prepared(), prepared()], config, seed=5)
    first = cases[(0, 0)]
    cases[(3, 1)]
    again = TrainingCases([prepared(), prepared()], config, seed=5)[(0, 0)]
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    for other in (cases[(1, 0)], cases[(0, 1)], TrainingCases([prepared()], config, seed=6)[(0, 0)]):
        assert not np.array_equal(first[0], other[0])


def test_validation_sees_the_box_as_the_network_is_given_it() -> None:
    shape = preset("smoke").preprocess.box_shape
    image, label = ValidationCases([prepared()], shape)[0]
    assert image.shape == (1, *shape) and label.shape == shape
    assert (image[0, 0] == 0).all()  # one slice of the box lies beyond the scan
    inside = image[0, 1:]
    assert abs(inside.mean()) < 1e-5 and abs(inside.std() - 1) < 1e-5
    assert Counter(label.ravel().tolist())[2] == 400
