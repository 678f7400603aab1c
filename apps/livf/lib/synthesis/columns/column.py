"""One person's column: every bone and disc as its own signed distance, so that touching facets stay apart.

A voxel mask loses what is thinner than a voxel as soon as it is bent or scaled; a signed distance keeps it, and gives
the share of a voxel that a tissue fills. The surface is that of the mask it was made from: bone **with** its cortex.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

#: Distances are kept within this, mm; beyond it they only promise "at least that far".
REACH_MM: Final = 8.0


class Kind(StrEnum):
    """What a part of the column is."""

    VERTEBRA = "vertebra"
    SACRUM = "sacrum"
    HIP = "hip"
    DISC = "disc"
    SAC = "thecal sac"


class Surround(StrEnum):
    """Tissues around the column, in the order of their codes (0 is outside the body)."""

    AIR = "air"
    SKIN = "skin"
    FAT = "fat"
    MUSCLE = "muscle"
    BOWEL = "bowel"
    GAS = "gas"
    VESSEL = "vessel"
    ORGAN = "organ"
    BONE = "bone"


@dataclass(frozen=True, eq=False)
class Part:
    """One structure on its own box of the column's grid.

    Attributes:
        name: Unique in the column: ``L4`` for a vertebra, ``L4-L5`` for the disc below it, ``sacrum``.
        kind: What it is.
        distance: ``(X, Y, Z)`` float16, mm, negative inside, within ±:data:`REACH_MM`.
        start: Index of the box's first voxel in the column's grid.
        body: ``(X, Y, Z)`` float16 for a vertebra: signed distance to the surface that cuts the body from the arch
            behind the posterior wall, negative on the body's side; None for every other kind.
        whole: Whether the source showed all of it. A part that ends at the scan's border is painted, never taught.
    """

    name: str
    kind: Kind
    distance: npt.NDArray[np.float16]
    start: tuple[int, int, int]
    body: npt.NDArray[np.float16] | None = None
    whole: bool = True


@dataclass(frozen=True, eq=False)
class Column:
    """One person.

    Attributes:
        name: Of the person, as in the source ("verse005").
        source: Where the shape is from and under which licence, for the model card.
        shape: Of the grid.
        affine: Voxel index of the grid to RAS mm: isotropic, axes along left-to-right, posterior-to-anterior and
            inferior-to-superior of the scan.
        parts: Bones from the top down with the discs between them, then the thecal sac.
        canal: ``(N, 3)`` RAS mm, centre line of the spinal canal from the top down.
        surround: uint8, index into :class:`Surround`, on a coarse grid; None where the source shows bone only.
        surround_affine: Voxel index of ``surround`` to RAS mm.
    """

    name: str
    source: str
    shape: tuple[int, int, int]
    affine: npt.NDArray[np.float64]
    parts: tuple[Part, ...]
    canal: npt.NDArray[np.float64]
    surround: npt.NDArray[np.uint8] | None = None
    surround_affine: npt.NDArray[np.float64] | None = None

    @property
    def spacing(self) -> float:
        """Edge of a voxel, mm."""
        return float(np.linalg.norm(self.affine[:3, 0]))

    def part(self, name: str) -> Part:
        """The part of this name.

        Raises:
            KeyError: There is none.
        """
        for part in self.parts:
            if part.name == name:
                return part
        raise KeyError(f"{self.name} has no {name!r}, only {', '.join(p.name for p in self.parts)}")

    def pairs(self) -> tuple[tuple[str, str, str], ...]:
        """Upper vertebra, disc and lower vertebra of every level that can be taught: both bones whole."""
        by_name = {part.name: part for part in self.parts}
        return tuple(
            (upper, disc.name, lower)
            for disc in self.parts
            if disc.kind is Kind.DISC
            for upper, _, lower in [disc.name.partition("-")]
            if all(n in by_name and by_name[n].whole and by_name[n].kind is Kind.VERTEBRA for n in (upper, lower))
        )
