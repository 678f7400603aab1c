"""Whether the level that a peer's numbers name is L4-L5, judged from where the structures lie."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from livf.lib.anatomy import DISC, L4, L5, TRAINED
from livf.lib.dataset.geometry import posterior_elements
from livf.lib.numberings import Numbering
from livf.lib.values import Affine, Array, spacing, to_world

Point = npt.NDArray[np.float64]

_L3: Final = "L3"
_L6: Final = "L6"
_SACRUM: Final = "sacrum"
_DISC_BELOW: Final = "disc_L5_S1"
#: Centres of neighbouring lumbar vertebrae are 30 to 45 mm apart; where one is missed, the distance doubles.
_MOST_APART: Final = 1.6
#: From L5 to the disc under it, as a share of the distance of L4 and L5: about 0.7; with a vertebra between them 1.5.
_MOST_BELOW: Final = 1.25
#: Plates further from any vertebra than this are stray.
_PLATE_REACH_MM: Final = 5.0


def level_fault(label: Array, affine: Affine, numbering: Numbering) -> str | None:
    """Why a case cannot be taken for its level; None where it can.

    Vertebrae must lie in the order of their numbers and be neighbours, with the disc between them. Where the numbering
    has a sacrum or a disc below L5, one of them must lie there: a count from below is only as good as its start.

    Args:
        label: In the peer's numbers, shape ``(I, J, K)``.
        affine: 4x4, voxel index to RAS+ mm.
        numbering: What the numbers mean.
    """
    present = {int(value) for value in np.unique(label)}
    for name, numbers in numbering.partial.items():
        if present & set(numbers):
            return f"{name} is only partly in the image (number {min(present & set(numbers))})"
    if missing := [s.title for s in TRAINED if not present & set(numbering.numbers.get(s.name, ()))]:
        return f"lacks {' and '.join(missing)}"
    if present & set(numbering.beyond.get(_L6, ())):
        return "has a sixth lumbar vertebra, so that L4-L5 is not the level above the last"
    centres = _centres(label, affine, {**numbering.numbers, **numbering.beyond})
    below = [name for name in (_DISC_BELOW, _SACRUM) if name in centres]
    if not below and any(name in numbering.beyond for name in (_DISC_BELOW, _SACRUM)):
        return f"nothing is labelled below {L5.name}, so that the count of the vertebrae cannot be checked"
    return _order_fault(centres, [name for name in (_L3, L4.name, DISC.name, L5.name, *below[:1]) if name in centres])


def posterior_fault(label: npt.NDArray[np.uint8], affine: Affine) -> str | None:
    """Which vertebra's posterior elements are not labelled, or not on both sides; None where all are.

    Args:
        label: In our numbers, with every trained structure; shape ``(I, J, K)``.
        affine: 4x4, voxel index to RAS+ mm.
    """
    for vertebra in (L4, L5):
        found = posterior_elements(label, affine, vertebra.value, DISC.value)
        if not found.whole:
            return (
                f"the posterior elements of {vertebra.name} are not labelled, or not whole "
                f"({found.volume / 1000:.1f} cm3 behind its body, {found.left / 1000:.1f} left and "
                f"{found.right / 1000:.1f} right of the midline)"
            )
    return None


def absorb_plates(label: Array, affine: Affine, numbering: Numbering) -> Array:
    """A peer's label in which each end plate has the number of the vertebra it lies against.

    Args:
        label: In the peer's numbers, shape ``(I, J, K)``; returned as it is where the numbering has no plates.
        affine: 4x4, voxel index to RAS+ mm.
        numbering: What the numbers mean.
    """
    plates = np.isin(label, numbering.plates)
    if not plates.any():
        return label
    bones = [*numbering.numbers[L4.name], *numbering.numbers[L5.name]]
    bones += [number for name in (_L3, _L6, _SACRUM) for number in numbering.beyond.get(name, ())]
    sizes = spacing(affine)
    reach = np.ceil(_PLATE_REACH_MM / sizes).astype(int)
    places = np.argwhere(plates)
    box = tuple(
        slice(max(0, low - margin), high + margin + 1)
        for low, high, margin in zip(places.min(axis=0), places.max(axis=0), reach, strict=True)
    )
    inside, vertebrae = plates[box], np.isin(label[box], bones)
    if not vertebrae.any():
        return label
    distance, nearest = ndimage.distance_transform_edt(~vertebrae, sampling=sizes, return_indices=True)
    taken = inside & (distance <= _PLATE_REACH_MM)
    result = label.copy()
    result[box][taken] = label[box][tuple(nearest[:, taken])]
    return result


def _centres(label: Array, affine: Affine, numbers: Mapping[str, Sequence[int]]) -> dict[str, Point]:
    centres = {}
    for name, values in numbers.items():
        places = np.argwhere(np.isin(label, values))
        if len(places):
            centres[name] = to_world(affine, places.mean(axis=0))
    return centres


def _order_fault(centres: Mapping[str, Point], order: Sequence[str]) -> str | None:
    for upper, lower in itertools.pairwise(order):
        if centres[upper][2] <= centres[lower][2]:
            return f"{upper} lies below {lower}, against their numbers"
    step = float(np.linalg.norm(centres[L4.name] - centres[L5.name]))
    if _L3 in centres:
        above = float(np.linalg.norm(centres[_L3] - centres[L4.name]))
        if step > _MOST_APART * above or above > _MOST_APART * step:
            return (
                f"the vertebrae numbered L3, L4 and L5 are {above:.0f} and {step:.0f} mm apart, so that one is left out"
            )
    if _DISC_BELOW in centres:
        under = float(np.linalg.norm(centres[L5.name] - centres[_DISC_BELOW]))
        if under > _MOST_BELOW * step:
            return f"the disc below L5 is {under:.0f} mm away, so that a vertebra lies between them"
    return None
