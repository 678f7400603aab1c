"""Whether a number read from a damaged label may stand.

Two questions, asked of each side that was given numbers, against the undamaged label's:

- is a structure gone that bounds the foramen? Then no number is right, whatever its value. A structure bounds the
  foramen with the voxels that lie in the slab within :data:`SHELL_MM` of its part of the undamaged outline; it is gone
  when more than half of them are no longer labelled as it.
- is the number another one? It is when it is off by more than two of the undamaged number's SD and, beyond these,
  5 % of the area or 0.5 mm of the height or the width: what damage further away may do to frame and slab.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from foramina.reporting import NUMBERS
from livf.lib.anatomy import DISC, L4, L5
from livf.lib.foramen import ForamenMeasurement, Measurement, Side
from livf.lib.foramen import result as parts_of
from livf.lib.foramen.result import side_sign

#: Voxels this near to the outline, outside it, bound the foramen, mm.
SHELL_MM: Final = 2.0
#: A structure of whose shell more than this share is missing is gone.
GONE_SHARE: Final = 0.5
#: Fewer voxels are no structure's shell.
_FEWEST: Final = 20
#: What a number may be off by beyond two SD: a share of it, and mm or mm².
SLACK: Final = {"area_mm2": (0.05, 0.0), "height_mm": (0.0, 0.5), "width_mm": (0.0, 0.5)}
#: Structures that bound the foramen: value in the label and parts of the outline.
BOUNDING: Final = {
    "L4 pedicle": (L4.value, (parts_of.UPPER_PEDICLE,)),
    "L4 wall": (L4.value, (parts_of.UPPER_WALL,)),
    "disc": (DISC.value, (parts_of.DISC_EDGE,)),
    "L5 wall": (L5.value, (parts_of.LOWER_WALL,)),
    "L5 pedicle": (L5.value, (parts_of.LOWER_PEDICLE,)),
    "superior articular process": (L5.value, (parts_of.FACET,)),
    "L4 arch": (L4.value, (parts_of.UPPER_ARCH,)),
}


@dataclass(frozen=True, eq=False)
class Reference:
    """One side of an undamaged label: its numbers and what bounds it.

    Attributes:
        foramen: The measurement, with its SD.
        shells: By structure, its label value and the RAS mm of its bounding voxels ``(N, 3)``.
    """

    foramen: ForamenMeasurement
    shells: dict[str, tuple[int, npt.NDArray[np.float64]]]

    @classmethod
    def of(
        cls, label: npt.NDArray[np.uint8], affine: npt.NDArray[np.float64], measured: Measurement, side: Side
    ) -> Reference:
        """Find the shells; there are none where the side was refused."""
        foramen = measured.foramina[side]
        if foramen.outline is None or foramen.numbers is None or measured.frame is None:
            return cls(foramen, {})
        centres = np.argwhere(label > 0) @ affine[:3, :3].T + affine[:3, 3]
        kinds = label[label > 0]
        place = measured.frame.to_frame(centres) * [side_sign(side), 1.0, 1.0]
        points, parts = foramen.outline.points, foramen.outline.parts
        apart, nearest = cKDTree(points).query(place[:, 1:], distance_upper_bound=SHELL_MM)
        medial, lateral = foramen.numbers.slab_mm
        near = (place[:, 0] > medial) & (place[:, 0] < lateral) & np.isfinite(apart)
        part = np.where(near, parts[np.minimum(nearest, len(parts) - 1)], -1)
        shells = {}
        for name, (value, own) in BOUNDING.items():
            mask = np.isin(part, own) & (kinds == value)
            if mask.sum() >= _FEWEST:
                shells[name] = (value, centres[mask])
        return cls(foramen, shells)

    def gone(self, damaged: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> tuple[str, ...]:
        """Structures of which more than half of what bounds the foramen is no longer labelled as such."""
        found = []
        for name, (value, centres) in self.shells.items():
            index = np.rint(np.linalg.solve(affine[:3, :3], (centres - affine[:3, 3]).T).T).astype(int)
            inside = ((index >= 0) & (index < damaged.shape[:3])).all(axis=1)
            kept = np.zeros(len(centres), dtype=bool)
            kept[inside] = damaged.reshape(damaged.shape[:3])[tuple(index[inside].T)] == value
            if kept.mean() < 1 - GONE_SHARE:
                found.append(name)
        return tuple(found)

    def off(self, after: ForamenMeasurement) -> tuple[str, ...]:
        """Which of the numbers given are others than the undamaged label's; all where that one has none."""
        if after.numbers is None:
            return ()
        found = []
        for name, short, _ in NUMBERS:
            was = getattr(self.foramen.numbers, name) if self.foramen.numbers else None
            now = getattr(after.numbers, name)
            if self.foramen.numbers is None:
                found.append(short)
            elif was is not None and now is not None:
                share, least = SLACK[name]
                if abs(now - was) > 2 * self.foramen.sd[name] + share * was + least:
                    found.append(short)
        return tuple(found)
