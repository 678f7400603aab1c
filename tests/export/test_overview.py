"""The picture: right slices, right sides, right colours."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.errors import InputError
from livf.lib.export.overview import overview, write_overview
from livf.lib.values import Volume


def scene(code: str = "RAS") -> tuple[Volume, np.ndarray]:
    """L4 above the disc above L5, the disc to the patient's left of the middle; in any orientation."""
    image = np.zeros((40, 50, 60), dtype=np.int16)
    label = np.zeros(image.shape, dtype=np.uint8)
    label[8:14, 20:34, 40:52] = L4.value
    label[8:14, 20:34, 30:38] = DISC.value
    label[8:14, 20:34, 12:28] = L5.value
    image[label > 0] = 100
    image[8:14, 4:8, 30:38] = 300  # a mark behind
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = (-20, -25, -30)
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(code))
    turned = [nib.orientations.apply_orientation(a, turn) for a in (image, label)]
    return Volume(turned[0], affine @ nib.orientations.inv_ornt_aff(turn, image.shape), "scene"), turned[1]


def near(picture: np.ndarray, rgb: tuple[int, int, int]) -> np.ndarray:
    """Rows and columns that have an outline's colour."""
    return np.argwhere((np.abs(picture.astype(int) - rgb) < 3).all(axis=2))


def test_structures_are_drawn_in_their_colours_and_order() -> None:
    picture = overview(*scene())
    rows = [near(picture[:, :125], s.rgb)[:, 0].mean() for s in (L4, DISC, L5)]
    assert rows == sorted(rows)


def test_the_patients_left_is_drawn_on_the_right() -> None:
    picture = overview(*scene())
    axial = picture[:, 125 + 8 :]
    assert near(axial, DISC.rgb)[:, 1].mean() > axial.shape[1] / 2


@pytest.mark.parametrize("code", ["LPS", "PSR", "ASL", "IRP"])
def test_any_order_of_the_axes_gives_the_same_picture(code: str) -> None:
    np.testing.assert_array_equal(overview(*scene(code)), overview(*scene()))


def test_a_png_is_written_whole(tmp_path: Path) -> None:
    write_overview(tmp_path / "a.png", *scene())
    assert Image.open(tmp_path / "a.png").size == (50 * 2.5 + 8 + 40 * 2.5, 150)
    assert len(list(tmp_path.iterdir())) == 1


def test_nothing_to_draw_is_refused() -> None:
    volume, label = scene()
    with pytest.raises(InputError, match="empty"):
        overview(volume, np.zeros_like(label))
    with pytest.raises(InputError, match="shape"):
        overview(volume, label[1:])
