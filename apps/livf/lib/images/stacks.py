"""From DICOM frames to one stack: which frames belong together, in what order, and where they lie.

Nothing here opens a file. Frames are ordered by their position along the slice normal; instance numbers and file names
say nothing reliable about it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from livf.lib.errors import InputError
from livf.lib.images import checks
from livf.lib.images.itk import LPS_TO_RAS
from livf.lib.values import Affine

Vector = npt.NDArray[np.float64]

#: A stack of fewer slices is passed over where there is one larger: localisers come in threes to fives, and the
#: thinnest lumbar protocols have 11 sagittal slices.
MIN_SLICES: Final = 8
#: Slices of one stack agree in direction to the rounding of their tags.
_SAME_DIRECTION: Final = 0.005
#: Positions closer than this are one position, mm.
_SAME_POSITION_MM: Final = 0.01
#: How far a slice may lie from its place in an even stack: a part of the step, and mm.
_UNEVEN: Final = 0.1
_UNEVEN_MM: Final = 0.05
#: A step beyond this multiple of the usual one is a missing slice.
_GAP: Final = 1.5
_ONE_SERIES: Final = "put the files of one series in a folder of its own and give that"


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice image, in a file of its own or one of a multi-frame file.

    Attributes:
        file: Where it is.
        index: Its number in a multi-frame file; None in a file of one frame.
        instance: SOP instance UID.
        series: Series instance UID.
        title: Series number and description, for messages.
        position: Centre of its first voxel, LPS mm.
        row: Direction in which the column index grows, LPS.
        column: Direction in which the row index grows, LPS.
        pixel: Distance between rows and between columns, mm (the order of Pixel Spacing).
        size: Rows and columns.
        slope: Rescale slope.
        intercept: Rescale intercept.
        inverted: Whether low stored values are bright (MONOCHROME1).
        localiser: Whether the scanner calls it a localiser.
        traits: What may differ between images of one place (echo time, time point and the like).
    """

    file: os.PathLike[str]
    index: int | None
    instance: str
    series: str
    title: str
    position: Vector
    row: Vector
    column: Vector
    pixel: tuple[float, float]
    size: tuple[int, int]
    slope: float = 1.0
    intercept: float = 0.0
    inverted: bool = False
    localiser: bool = False
    traits: Mapping[str, Any] = field(default_factory=dict)

    @property
    def normal(self) -> Vector:
        """Direction across the slice, LPS."""
        return np.asarray(np.cross(self.row, self.column), dtype=np.float64)


def choose(frames: Sequence[Frame], where: str | os.PathLike[str]) -> list[Frame]:
    """The frames of the one image among ``frames``.

    A single stack is taken whatever its size. Of several, the only one with at least :data:`MIN_SLICES` slices that
    is not called a localiser is taken.

    Raises:
        InputError: Which stack is meant is not clear; the series are listed.
    """
    stacks = _stacks(frames)
    if len(stacks) == 1:
        return stacks[0]
    large = [stack for stack in stacks if len(stack) >= MIN_SLICES and not stack[0].localiser]
    if len(large) == 1:
        return large[0]
    listed = ", ".join(f"{stack[0].title} ({len(stack)} slices, {_plane(stack[0])})" for stack in stacks[:6])
    more = f" and {len(stacks) - 6} more" if len(stacks) > 6 else ""
    if len({frame.series for frame in frames}) == 1:
        raise InputError(f"its slices form {len(stacks)} stacks of different direction or size: {listed}{more}", where,
                         "give a series whose slices are parallel")  # fmt: skip
    raise InputError(f"holds {len(stacks)} image series: {listed}{more}", where, _ONE_SERIES)


def arrange(frames: Sequence[Frame], where: str | os.PathLike[str]) -> tuple[list[Frame], Affine]:
    """Frames in the order of their positions, and the affine of their volume.

    Returns:
        The frames, and the RAS+ affine of voxels ``(column index, row index, slice)``. Its third column is the mean
        step, so a slight tilt of the stack is kept.

    Raises:
        InputError: It is one slice, has two images at one place, misses slices, is uneven, or is sheared.
    """
    if len(frames) < 2:
        raise InputError("is a single slice, not a 3D volume", where, "give the folder of the whole series")
    normal = frames[0].normal
    along = np.array([frame.position @ normal for frame in frames])
    order = np.argsort(along, kind="stable")
    frames, along = [frames[i] for i in order], along[order]
    _one_image_a_place(frames, along, where)
    _no_gaps(along, where)
    positions = np.array([frame.position for frame in frames])
    step = (positions[-1] - positions[0]) / (len(frames) - 1)
    off = np.linalg.norm(positions - (positions[0] + np.outer(np.arange(len(frames)), step)), axis=1)
    if off.max() > max(_UNEVEN * float(np.linalg.norm(step)), _UNEVEN_MM):
        raise InputError(f"its slices do not lie in one straight row ({off.max():.2f} mm off)", where,
                         "give a series of evenly spaced, parallel slices")  # fmt: skip
    affine = np.eye(4)
    affine[:3, 0] = frames[0].row * frames[0].pixel[1]
    affine[:3, 1] = frames[0].column * frames[0].pixel[0]
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    return frames, checks.image_affine(LPS_TO_RAS @ affine, where)


def _stacks(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames of one series, size, voxel size, kind and direction; the largest stack first."""
    groups: dict[tuple[object, ...], list[list[Frame]]] = defaultdict(list)
    for frame in frames:
        pixel = tuple(round(size, 3) for size in frame.pixel)
        key = (frame.series, frame.size, pixel, frame.inverted, frame.localiser)
        for stack in groups[key]:
            first = stack[0]
            turned = np.abs(np.concatenate([frame.row - first.row, frame.column - first.column])).max()
            if turned <= _SAME_DIRECTION:
                stack.append(frame)
                break
        else:
            groups[key].append([frame])
    stacks = [stack for group in groups.values() for stack in group]
    return sorted(stacks, key=lambda stack: (-len(stack), stack[0].title, stack[0].series))


def _plane(frame: Frame) -> str:
    return ("sagittal", "coronal", "axial")[int(np.argmax(np.abs(frame.normal)))]


def _one_image_a_place(frames: Sequence[Frame], along: Vector, where: str | os.PathLike[str]) -> None:
    same = np.flatnonzero(np.diff(along) < _SAME_POSITION_MM)
    if not len(same):
        return
    pair = frames[same[0]], frames[same[0] + 1]
    names = [name for name in pair[0].traits if pair[0].traits[name] != pair[1].traits.get(name)]
    reason = f": they differ in {', '.join(names)}" if names else ""
    raise InputError(
        f"holds several images of one place ({len(same) + 1} or more slices share a position{reason})",
        where,
        "export one echo, one time point or one kind of image alone",
    )


def _no_gaps(along: Vector, where: str | os.PathLike[str]) -> None:
    steps = np.diff(along)
    usual = float(np.percentile(steps, 50, method="lower"))
    widest = int(np.argmax(steps))
    if steps[widest] > _GAP * usual:
        missing = max(1, round(float(steps[widest]) / usual) - 1)
        raise InputError(
            f"misses {missing} slice{'s' if missing > 1 else ''} between slices {widest + 1} and {widest + 2} of "
            f"{len(along)} (a step of {steps[widest]:.2f} mm where {usual:.2f} mm is usual)",
            where,
            "export the whole series again",
        )
    if np.abs(steps - usual).max() > max(_UNEVEN * usual, _UNEVEN_MM):
        raise InputError(f"its slices are unevenly spaced ({steps.min():.2f} to {steps.max():.2f} mm)", where,
                         "give a series of evenly spaced slices")  # fmt: skip
