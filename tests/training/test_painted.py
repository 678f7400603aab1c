import io
import json
import zipfile

import numpy as np
import pytest

from livf.lib.errors import InputError
from livf.lib.synthesis.painting import shards
from livf.lib.training import painted

SHAPE = (6, 8, 10)


def write(path, number, examples=4):
    """A shard whose example ``e`` has label ``e`` in its first voxel along R, and images of its number."""
    images = np.full((examples, *SHAPE), 100 * (number + 1), dtype="<i2")
    images += np.arange(SHAPE[2], dtype="<i2")
    images[:, :, :, :2] = 0
    labels = np.zeros((examples, *SHAPE), dtype=np.uint8)
    labels[:, 0] = np.arange(examples, dtype=np.uint8)[:, None, None]
    planes = images.view(np.uint8).reshape(*images.shape, 2)
    head = {"format": shards.FORMAT, "purpose": "pair", "number": number, "seed": 0, "examples": examples,
            "made_from": "", "people": ["x"] * examples, "levels": [""] * examples, "spacing": 0.8}  # fmt: skip
    arrays = {"head": np.frombuffer(json.dumps(head).encode(), dtype=np.uint8), "low": planes[..., 0],
              "high": planes[..., 1], "labels": labels}  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            stream = io.BytesIO()
            np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(f"{name}.npy", stream.getbuffer())
    return path


@pytest.fixture
def folder(tmp_path):
    painted._read.cache_clear()
    return [write(tmp_path / f"{n:05d}.npz", n) for n in range(3)]


def shown(cases, keys):
    """Which shard and example each key shows, by the label (the image's grey is varied)."""
    found = []
    for key in keys:
        path, place = cases._place(key)
        _, target = cases[key]
        assert target.shape == (4, SHAPE[2], SHAPE[0], SHAPE[1])
        assert (target.sum(axis=0) == 1).all()
        labels = target.argmax(axis=0)
        assert labels.max() == place
        assert set(np.unique(labels[:, 1:-1])) == {0}, "right and left are mirrored, nothing else"
        found.append((path.name, place))
    return found


def test_every_example_is_shown_once_before_any_is_shown_twice(folder):
    cases = painted.PaintedCases(folder, 4, seed=0)
    first, second = shown(cases, range(12)), shown(cases, range(12, 24))
    assert len(set(first)) == len(set(second)) == 12
    assert first != second


def test_neighbouring_cases_come_from_two_shards(folder):
    found = shown(painted.PaintedCases(folder, 4, seed=0), range(8))
    assert all(one[0] != two[0] for one, two in zip(found[::2], found[1::2], strict=True))


def test_a_case_depends_on_its_number_alone(folder):
    one, two = painted.PaintedCases(folder, 4, seed=3), painted.PaintedCases(folder, 4, seed=3)
    for key in (17, 2, 9):
        assert all(np.array_equal(a, b) for a, b in zip(one[key], two[key], strict=True))
    assert not np.array_equal(one[2][0], painted.PaintedCases(folder, 4, seed=4)[2][0])


def test_half_are_mirrored(folder):
    cases = painted.PaintedCases(folder, 4, seed=0)
    right = [bool(cases[key][1][1:, :, 0].any()) for key in range(48) if cases._place(key)[1]]
    assert 0.25 < np.mean(right) < 0.75


def test_outside_the_field_of_view_stays_zero_and_inside_is_about_normalised(folder):
    cases = painted.PaintedCases(folder, 4, seed=0)
    pictures = np.stack([cases[key][0] for key in range(12)])
    assert pictures.shape == (12, 1, SHAPE[2], SHAPE[0], SHAPE[1]) and pictures.dtype == np.float32
    assert (pictures[:, :, :2] == 0).all()
    inside = pictures[:, :, 2:]
    assert abs(inside.mean()) < 0.5 and 0.6 < inside.std() < 1.6


def test_an_image_without_a_field_of_view_is_all_zero():
    assert not painted.vary(np.zeros(SHAPE, dtype=np.int16), np.random.default_rng(0)).any()


def test_brighter_stays_brighter():
    image = np.arange(1, 1001, dtype=np.int16).reshape(10, 10, 10)
    rng = np.random.default_rng(1)
    # Without noise, which half of the draws have.
    kept = [found for _ in range(12) if len(np.unique(np.diff(found := painted.vary(image, rng), axis=2) >= 0)) == 1]
    assert kept and all((np.diff(found.ravel()) >= 0).all() for found in kept)


def test_validation_shows_examples_as_they_are(folder):
    checks = painted.PaintedChecks(folder[1], 2)
    assert len(checks) == 2
    image, label = checks[1]
    assert image.shape == (1, SHAPE[2], SHAPE[0], SHAPE[1]) and label.shape == image.shape[1:]
    assert label.max() == 3 and (image[:, :2] == 0).all()
    assert image[:, 2:].mean() == pytest.approx(0, abs=1e-5) and image[:, 2:].std() == pytest.approx(1, abs=1e-5)


def test_shards_of_different_sizes_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match="does not hold 4 examples"):
        painted.PaintedCases([*folder, write(tmp_path / "00009.npz", 9, examples=2)], 4, seed=0)


def test_a_damaged_shard_is_refused(folder):
    folder[2].write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged"):
        painted.PaintedCases(folder, 4, seed=0)
