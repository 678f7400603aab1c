"""What a submitted label means: its values by the names that came with it, and its grid. Arrays in, arrays out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import BACKGROUND, BY_NAME, STRUCTURES, TRAINED
from livf.lib.errors import InputError
from livf.lib.values import Affine, Array, Volume, spacing, to_world

#: How far a voxel of the label may lie from the image's, as a share of the smallest voxel size: room for the rounding
#: of file formats (NIfTI keeps 32 bit), far less than any resampling.
GRID_TOLERANCE: Final = 0.05


def names_of(label_info: Any) -> list[str] | None:
    """The names of a label's values 1, 2, ... from what a client sent as ``label_info``.

    3D Slicer exports the value 1 for its first segment, 2 for the second and so on, whatever the values were before,
    and lists the segments in that order. The ``idx`` it sends counts hidden segments too, so it is not looked at.

    Returns:
        The names in the order of the values, or None when the client sent none.

    Raises:
        InputError: ``label_info`` is not a list of entries with a name.
    """
    if not label_info:
        return None
    if not isinstance(label_info, Sequence) or isinstance(label_info, str):
        raise InputError("is not a list of segments", "label_info", 'send [{"name": ...}, ...] in the order of values')
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in label_info]
    if not all(isinstance(name, str) and name for name in names):
        raise InputError("has a segment without a name", "label_info", f"name each segment: {_known()}")
    return [str(name) for name in names]


def names_in(label: npt.NDArray[np.uint8]) -> dict[str, int]:
    """The structures that a label has, by name: 3D Slicer gives names to the values it finds by their order."""
    counts = np.bincount(label.ravel(), minlength=256)
    return {structure.name: structure.value for structure in STRUCTURES if counts[structure.value]}


def relabel(array: Array, names: Sequence[str] | None) -> npt.NDArray[np.uint8]:
    """Bring a submitted label to the values of the anatomy table.

    Args:
        array: The label as the client wrote it: whole numbers from 0, shape ``(I, J, K)``.
        names: Name of the value 1, of 2, ...; None when the values are the anatomy table's already.

    Returns:
        A label of the trained structures, uint8, same shape. Structures that are for display only (foramina) become
        background: they lie between the bones and are never trained on.

    Raises:
        InputError: A name is unknown or comes twice, a value has no name, or nothing is labelled.
    """
    if names is None:
        target = [BACKGROUND, *(structure.value for structure in TRAINED)]
        remedy = f"send label_info with the names in the order of values, or use {_known_values()}"
    else:
        _refuse_bad(names)
        target = [BACKGROUND, *(BY_NAME[n].value if BY_NAME[n].trained else BACKGROUND for n in names)]
        remedy = "name every segment in label_info, in the order of values"
    highest = int(array.max(initial=0))
    if highest >= len(target):
        raise InputError(f"the label has the value {highest}, which has no name", "", remedy)
    result: npt.NDArray[np.uint8] = np.asarray(target, dtype=np.uint8)[array]
    if not result.any():
        raise InputError("the label is empty", "", f"draw at least one of {_known()} before you submit")
    return result


def refuse_other_grid(label: Volume, image: Volume) -> None:
    """Refuse a label that does not lie on its image's own grid.

    Raises:
        InputError: The shapes differ, or a corner of the grid is elsewhere.
    """
    remedy = "submit the label on the grid of the image as the server gave it"
    if label.shape != image.shape:
        raise InputError(f"the label has {_size(label)} voxels, the image {_size(image)}", "", remedy)
    apart = _largest_shift(label.affine, image.affine, image.shape)
    if not apart <= GRID_TOLERANCE * float(spacing(image.affine).min()):
        raise InputError(f"the label's grid is up to {apart:.2f} mm away from the image's", "", remedy)


def _largest_shift(first: Affine, second: Affine, shape: tuple[int, int, int]) -> float:
    """Largest distance in mm between the places two affines give to a grid's corners."""
    corners = np.array(list(itertools.product(*((0, length - 1) for length in shape))))
    return float(np.linalg.norm(to_world(first, corners) - to_world(second, corners), axis=1).max())


def _refuse_bad(names: Sequence[str]) -> None:
    for position, name in enumerate(names):
        if name not in BY_NAME:
            raise InputError(f"there is no structure {name!r}", "label_info", f"the structures are {_known()}")
        if name in names[:position]:
            raise InputError(f"the structure {name!r} comes twice", "label_info", "merge or rename the segments")


def _known() -> str:
    return ", ".join(structure.name for structure in TRAINED)


def _known_values() -> str:
    return ", ".join(f"{structure.value} {structure.name}" for structure in TRAINED)


def _size(volume: Volume) -> str:
    return "x".join(str(length) for length in volume.shape)
