"""One synthetic lumbar study: image, label and everything it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import TRAINED
from livf.lib.synthesis.appearance import render
from livf.lib.synthesis.implicit import FAR, Floats
from livf.lib.synthesis.morphometry import GROUP_COUNTS, GROUPS, Anatomy, Group, sample_anatomy
from livf.lib.synthesis.spine import Spine
from livf.lib.synthesis.tissues import Sequence
from livf.lib.values import Affine, Volume

#: Bump when the same seed no longer gives the same study. 3: the truth takes the posterior wall from the bone.
GENERATOR_VERSION: Final = 3
#: The paper's grid: 0.8 mm, 320 x 320 axial, 88 to 128 slices.
SPACING_MM: Final = 0.8
IN_PLANE: Final = 320
SLICES: Final = (88, 128)
#: Image values are scaled so that fat near the coil has this value, as scanners do (int16).
_GREY_OF_FAT: Final = 800


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic study.

    Attributes:
        image: int16 image, RAS+ grid.
        label: uint8 label on the same grid (values of the anatomy table).
        spine: The implicit anatomy, for exact truth.
        group: Diagnosis group.
        seed: What it was made from.
        parameters: All parameters as plain values.
    """

    image: Volume
    label: npt.NDArray[np.uint8]
    spine: Spine
    group: Group
    seed: int
    parameters: dict[str, Any]

    @property
    def affine(self) -> Affine:
        """Grid of image and label."""
        return self.image.affine


@dataclass(frozen=True)
class Grid:
    """A grid along the RAS axes: number of voxels, and where its middle lies (RAS mm)."""

    shape: tuple[int, int, int]
    spacing: float = SPACING_MM
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def axes(self) -> tuple[Floats, Floats, Floats]:
        """Coordinates of the voxels' centres along x, y and z, float32."""
        x, y, z = (
            ((np.arange(n) - (n - 1) / 2) * self.spacing + middle).astype(np.float32)
            for n, middle in zip(self.shape, self.centre, strict=True)
        )
        return x, y, z

    def affine(self) -> Affine:
        """Voxel index to RAS mm."""
        affine = np.diag([self.spacing] * 3 + [1.0])
        affine[:3, 3] = [middle - (n - 1) / 2 * self.spacing for n, middle in zip(self.shape, self.centre, strict=True)]
        return affine


def draw_group(rng: np.random.Generator) -> Group:
    """A diagnosis group, as frequent as in Chen et al. 2022."""
    shares = np.asarray([GROUP_COUNTS[group] for group in GROUPS], dtype=np.float64)
    return GROUPS[int(rng.choice(len(GROUPS), p=shares / shares.sum()))]


def make_phantom(
    seed: int, *, group: Group | None = None, grid: Grid | None = None, sequence: Sequence | None = None
) -> Phantom:
    """Make one study; the same arguments give the same bytes.

    Args:
        seed: Any non-negative integer.
        group: Diagnosis group; None: drawn as frequent as in the paper.
        grid: Where to sample it; None: the paper's grid with 88 to 128 slices. Its origin is the scanner's isocentre,
            a few millimetres from the L4-L5 disc.
        sequence: Contrast, blur and noise; None: drawn.
    """
    # Separate streams, so that another grid or sequence shows the same person.
    for_person, for_place, for_scan, for_texture = (
        np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)
    )
    drawn = draw_group(for_person)
    group = group or drawn
    anatomy = sample_anatomy(for_person, group)
    slices = 2 * int(for_place.integers(SLICES[0] // 2, SLICES[1] // 2 + 1))
    # The technician centres on L4-L5 by eye; the table side is behind, so the column lies a little behind the middle.
    centre = (float(for_place.normal(0, 3)), float(for_place.normal(6, 4)), float(for_place.normal(0, 3)))
    grid = grid or Grid((IN_PLANE, IN_PLANE, slices))
    drawn_sequence = Sequence.sample(for_scan)
    sequence = sequence or drawn_sequence
    spine = Spine(anatomy, centre)
    axes = grid.axes()
    block = _spine_block(axes, centre)
    fields = spine.fields(*(axis[part] for axis, part in zip(axes, block, strict=True)))
    label = np.zeros(grid.shape, dtype=np.uint8)
    for structure in TRAINED:
        label[block][fields[structure.name] < 0] = structure.value
    image = render(spine, fields, block, axes, sequence, for_texture)
    grey = np.clip(np.rint(image * _GREY_OF_FAT), 0, 4095).astype(np.int16)
    return Phantom(
        image=Volume(grey, grid.affine(), source=f"phantom {seed}"),
        label=label,
        spine=spine,
        group=group,
        seed=seed,
        parameters={
            "generator": GENERATOR_VERSION,
            "seed": seed,
            "group": group,
            "centre_ras_mm": list(centre),
            "anatomy": anatomy.as_json(),
            "sequence": sequence.as_json(),
        },
    )


def _spine_block(axes: tuple[Floats, Floats, Floats], centre: tuple[float, float, float]) -> tuple[slice, slice, slice]:
    """Part of the grid where bones can be: transverse processes to spinous tips, all heights."""
    reach = ((-66, 66), (-95, 45), (-1000, 1000))
    x, y, z = (
        slice(*np.searchsorted(axis, (middle + low - FAR, middle + high + FAR)))
        for axis, middle, (low, high) in zip(axes, centre, reach, strict=True)
    )
    return x, y, z


__all__ = ["Anatomy", "Grid", "Phantom", "draw_group", "make_phantom"]
