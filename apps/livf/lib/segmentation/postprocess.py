"""Tidying a label: one piece a structure, no holes, L4 above L5. Nothing more is changed."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import BACKGROUND, L4, L5, TRAINED

Label = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

#: A structure has no voxel.
MISSING_STRUCTURE = "missing_structure"
#: A separate piece below this share of its structure is a speck: a process is 2 % of a vertebra and more.
_SPECK_SHARE: Final = 0.01
#: L4 does not lie above L5.
WRONG_LEVEL_ORDER = "wrong_level_order"


def tidy(label: Label) -> Label:
    """Keep the largest piece of each structure and fill its closed holes.

    Pieces at most two voxels apart count as one, so that a process hanging on a thin bridge stays; specks do not.

    Args:
        label: Values of the anatomy table, any axes.

    Returns:
        A new label of the same shape.
    """
    result = label.copy()
    for structure in TRAINED:
        mask = label == structure.value
        box = _bounds(mask)
        if box is None:
            continue
        # One voxel of margin: the outside is then one connected piece, and dilation stays within.
        padded = np.pad(mask[box], 1)
        kept = _largest(padded)
        part = result[box]
        inner = (slice(1, -1),) * 3
        part[mask[box] & ~kept[inner]] = BACKGROUND
        part[_holes(kept)[inner] & (part == BACKGROUND)] = structure.value
    return result


def warnings(label: Label) -> tuple[str, ...]:
    """Reason codes of what is wrong with a label whose first axis grows to the head."""
    found = []
    heights = {}
    for structure in TRAINED:
        rows = np.count_nonzero(label == structure.value, axis=(1, 2))
        if rows.any():
            heights[structure.value] = float(np.average(np.arange(len(rows)), weights=rows))
    if len(heights) < len(TRAINED):
        found.append(MISSING_STRUCTURE)
    if L4.value in heights and L5.value in heights and heights[L4.value] <= heights[L5.value]:
        found.append(WRONG_LEVEL_ORDER)
    return tuple(found)


def _bounds(mask: Mask) -> tuple[slice, slice, slice] | None:
    parts = []
    for axis in range(3):
        held = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(held):
            return None
        parts.append(slice(int(held[0]), int(held[-1]) + 1))
    return parts[0], parts[1], parts[2]


def _largest(mask: Mask) -> Mask:
    """The largest piece; pieces whose one-voxel surroundings touch are one."""
    import cc3d
    from scipy import ndimage

    pieces, number = cc3d.connected_components(
        ndimage.maximum_filter(mask.astype(np.uint8), size=3, mode="constant"), connectivity=26, return_N=True
    )
    if number <= 1:
        return _without_specks(mask)
    sizes = np.bincount(pieces[mask], minlength=number + 1)
    return _without_specks(mask & (pieces == int(np.argmax(sizes))))


def _without_specks(mask: Mask) -> Mask:
    """A mask without separate pieces that are too small to be part of a bone."""
    import cc3d

    pieces = cc3d.connected_components(mask.astype(np.uint8), connectivity=26)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= _SPECK_SHARE * sizes.sum())[pieces], dtype=np.bool_)


def _holes(mask: Mask) -> Mask:
    """What a mask with a margin encloses on all sides."""
    import cc3d

    outside = cc3d.connected_components((~mask).astype(np.uint8), connectivity=6)
    return np.asarray(~mask & (outside != outside[0, 0, 0]), dtype=np.bool_)
