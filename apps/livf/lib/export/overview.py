"""A picture to judge a segmentation by: the sagittal and the axial slice through the disc, with the label over them."""

from __future__ import annotations

import os
from typing import Final

import nibabel as nib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from skimage.segmentation import find_boundaries
from skimage.transform import resize

from livf.lib.anatomy import BACKGROUND, DISC, TRAINED
from livf.lib.errors import InputError
from livf.lib.storage import writing
from livf.lib.values import Affine, Volume

Rgb = npt.NDArray[np.uint8]

#: Size of a pixel of the picture, mm.
_PIXEL_MM: Final = 0.4
#: Share of the structure's colour inside its outline.
_TINT: Final = 0.28
_INK: Final = (235, 235, 235)
#: What is shown around the label, mm; a whole column would leave it a small spot.
_AROUND_MM: Final = 55.0


def overview(volume: Volume, label: npt.NDArray[np.uint8]) -> Rgb:
    """Draw the two slices side by side, as radiologists hang them (front to the left; patient's right to the left).

    Args:
        volume: The image.
        label: Its label, same shape; values of the anatomy table.

    Returns:
        uint8, shape ``(rows, columns, 3)``.

    Raises:
        InputError: The label is empty or has another shape.
    """
    if label.shape != volume.shape:
        raise InputError(f"the label has shape {label.shape}, the image {volume.shape}", volume.source)
    if not label.any():
        raise InputError("the label is empty: there is nothing to draw", volume.source)
    image, affine = _to_ras(volume.array, volume.affine)
    labelled, _ = _to_ras(label, volume.affine)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    near = _around(labelled != BACKGROUND, sizes)
    image, labelled = image[near], labelled[near]
    wanted = labelled == DISC.value if (labelled == DISC.value).any() else labelled != BACKGROUND
    right, _, superior = (round(float(c)) for c in np.argwhere(wanted).mean(axis=0))
    sagittal = _slice(image[right, ::-1, ::-1].T, labelled[right, ::-1, ::-1].T, (sizes[2], sizes[1]))
    axial = _slice(image[::-1, ::-1, superior].T, labelled[::-1, ::-1, superior].T, (sizes[1], sizes[0]))
    for picture, left, rightmost in ((sagittal, "A", "P"), (axial, "R", "L")):
        _letter(picture, left, rightmost)
    return _beside(sagittal, axial)


def write_overview(path: str | os.PathLike[str], volume: Volume, label: npt.NDArray[np.uint8]) -> None:
    """Draw :func:`overview` into a PNG file, whole or not at all."""
    picture = Image.fromarray(overview(volume, label))
    with writing(path) as temporary:
        picture.save(temporary, format="PNG")


def _around(mask: npt.NDArray[np.bool_], sizes: npt.NDArray[np.float64]) -> tuple[slice, slice, slice]:
    """The label's box with some room on all sides."""
    held, room = np.argwhere(mask), np.ceil(_AROUND_MM / sizes).astype(int)
    i, j, k = (
        slice(max(0, int(low)), int(high) + 1)
        for low, high in zip(held.min(axis=0) - room, held.max(axis=0) + room, strict=True)
    )
    return i, j, k


def _to_ras(array: npt.NDArray[np.generic], affine: Affine) -> tuple[npt.NDArray[np.generic], Affine]:
    """Turn and flip the array's axes to the nearest of right, anterior, superior (nothing is interpolated)."""
    codes = nib.orientations.io_orientation(affine)
    turned = nib.orientations.apply_orientation(array, codes)
    return turned, affine @ nib.orientations.inv_ornt_aff(codes, array.shape)


def _slice(image: npt.NDArray[np.generic], label: npt.NDArray[np.generic], sizes: tuple[float, float]) -> Image.Image:
    """One slice in square pixels, grey, with tinted and outlined structures."""
    shape = tuple(max(2, round(n * size / _PIXEL_MM)) for n, size in zip(image.shape, sizes, strict=True))
    grey = resize(image.astype(np.float32), shape, order=1, anti_aliasing=False)
    low, high = np.percentile(grey, (1, 99.5))
    shade = np.clip((grey - low) / max(float(high - low), 1e-6), 0, 1)
    canvas = np.repeat(shade[..., None] * 255, 3, axis=2)
    for structure in TRAINED:
        inside = resize((label == structure.value).astype(np.float32), shape, order=1, anti_aliasing=False) > 0.5
        if not inside.any():
            continue
        colour = np.asarray(structure.rgb, dtype=np.float32)
        canvas[inside] += _TINT * (colour - canvas[inside])
        canvas[find_boundaries(inside, mode="inner")] = colour
    return Image.fromarray(np.rint(canvas).astype(np.uint8))


def _letter(picture: Image.Image, left: str, right: str) -> None:
    """Write which side is which, in the slice's upper corners."""
    font = ImageFont.load_default(size=18)
    draw = ImageDraw.Draw(picture)
    draw.text((6, 4), left, fill=_INK, font=font)
    draw.text((picture.width - 18, 4), right, fill=_INK, font=font)


def _beside(one: Image.Image, two: Image.Image) -> Rgb:
    """Two pictures next to each other on black, both in the middle of the higher one's height."""
    height = max(one.height, two.height)
    whole = Image.new("RGB", (one.width + two.width + 8, height))
    whole.paste(one, (0, (height - one.height) // 2))
    whole.paste(two, (one.width + 8, (height - two.height) // 2))
    return np.asarray(whole)
