"""What one person's scan did not show, borrowed from another: a sacrum below, a vertebra or two above.

A column that ends at L5 cannot be painted as a hospital sees it. The donor is laid on the recipient by the vertebra
that both have (iterative closest points with one scale), and what lies beyond that vertebra is taken over. Levels that
join two people are painted and serve as neighbours; they are not taught as pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from livf.lib.synthesis.columns.column import REACH_MM, Column, Kind, Part, Surround
from livf.lib.synthesis.columns.sources import LEVELS

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

_ROUNDS: Final = 30
_POINTS: Final = 4000
#: The farthest pairs are left out: processes differ between people.
_TRIM: Final = 0.8
_SCALE: Final = (0.8, 1.25)
#: A borrowed disc is thickened by this before bones cut it, so that it meets the end plate of its new neighbour, mm.
_THICKEN_MM: Final = 1.0
#: Over this the recipient's sac turns into the donor's, mm.
_BLEND_MM: Final = 4.0
#: The canal's line is smoothed over this where it is joined, mm.
_JOIN_MM: Final = 6.0
#: Surroundings are taken from the donor beyond this distance from the shared vertebra's middle, mm.
_SURROUND_MM: Final = 12.0


@dataclass(frozen=True, eq=False)
class Fit:
    """A donor laid on a recipient.

    Attributes:
        matrix: 4x4, donor's grid mm to recipient's grid mm: rotation, one scale, shift.
        scale: The scale.
        residual_mm: Mean distance of the nearest points that were used.
    """

    matrix: Doubles
    scale: float
    residual_mm: float


def graft(column: Column, donor: Column, side: Literal["below", "above"], count: int = 20) -> Column:
    """Give a column what it lacks on one side.

    Args:
        column: Who lacks it. A vertebra that the scan cut at this side is dropped first.
        donor: Who has it.
        side: Below the lowest vertebra or above the topmost.
        count: How many vertebrae to take at most (a sacrum comes with the lowest).

    Returns:
        The extended column, or the column itself where the donor has nothing to give on that side.
    """
    below = side == "below"
    column = _without_cut(column, below)
    own = [p for p in column.parts if p.kind is Kind.VERTEBRA]
    theirs = {p.name: p for p in donor.parts}
    anchor = own[-1] if below else own[0]
    if anchor.name not in theirs or (below and any(p.kind is Kind.SACRUM for p in column.parts)):
        return column
    taken = _beyond(donor, anchor.name, below, count)
    if not taken:
        return column
    fit = lay(donor, theirs[anchor.name], column, anchor)
    middle = _middle(anchor, column.spacing)
    grid_low, grid_high = np.zeros(3), np.asarray(column.shape, dtype=np.float64)
    moved = []
    for part in taken:
        new = _moved(part, donor.spacing, column.spacing, fit)
        moved.append(new)
        grid_low = np.minimum(grid_low, new.start)
        grid_high = np.maximum(grid_high, np.add(new.start, new.distance.shape))
    line = _line(column, donor, fit, middle, below)
    sac = _sac(column, donor, fit, middle, below)
    grid_low = np.floor(np.minimum(grid_low, sac.start)).astype(int)
    grid_high = np.maximum(grid_high, np.add(sac.start, sac.distance.shape)).astype(int)
    kept = [p for p in column.parts if p.kind is not Kind.SAC]
    parts = [*kept, *moved] if below else [*moved, *kept]
    affine = column.affine.copy()
    affine[:3, 3] = affine[:3, :3] @ grid_low + affine[:3, 3]
    shifted = tuple(replace(p, start=_triple(np.subtract(p.start, grid_low))) for p in [*parts, sac])
    world = line / column.spacing @ column.affine[:3, :3].T + column.affine[:3, 3]
    surround, surround_affine = _surround(column, donor, fit, middle, below, grid_low, grid_high)
    return Column(
        column.name,
        f"{column.source}; {side} {anchor.name}: {donor.name}, {donor.source}",
        _triple(grid_high - grid_low),
        affine,
        shifted,
        world,
        surround,
        surround_affine,
    )


def lay(donor: Column, source: Part, column: Column, target: Part) -> Fit:
    """Lay the donor's vertebra on the recipient's."""
    have, want = _surface(source, donor.spacing), _surface(target, column.spacing)
    tree = cKDTree(want)
    scale = float(
        np.linalg.norm(want - want.mean(0), axis=1).mean() / np.linalg.norm(have - have.mean(0), axis=1).mean()
    )
    matrix = np.eye(4)
    matrix[:3, :3] *= scale
    matrix[:3, 3] = want.mean(0) - scale * have.mean(0)
    residual = np.inf
    for _ in range(_ROUNDS):
        at = have @ matrix[:3, :3].T + matrix[:3, 3]
        distance, index = tree.query(at)
        near = distance <= np.quantile(distance, _TRIM)
        residual = float(distance[near].mean())
        matrix = _similarity(have[near], want[index[near]])
    return Fit(matrix, float(np.cbrt(np.linalg.det(matrix[:3, :3]))), residual)


def _similarity(have: Doubles, want: Doubles) -> Doubles:
    """Least squares rotation, scale and shift (Umeyama, IEEE Trans Pattern Anal Mach Intell 1991;13:376-380)."""
    mean_have, mean_want = have.mean(0), want.mean(0)
    one, two = have - mean_have, want - mean_want
    u, singular, vt = np.linalg.svd(two.T @ one / len(have))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn = u @ np.diag(sign) @ vt
    scale = float(np.clip((singular * sign).sum() / one.var(0).sum(), *_SCALE))
    matrix = np.eye(4)
    matrix[:3, :3] = scale * turn
    matrix[:3, 3] = mean_want - scale * turn @ mean_have
    return matrix


def _without_cut(column: Column, below: bool) -> Column:
    vertebrae = [p for p in column.parts if p.kind is Kind.VERTEBRA]
    while len(vertebrae) > 1 and not (vertebrae[-1] if below else vertebrae[0]).whole:
        gone = vertebrae.pop(-1 if below else 0)
        column = replace(
            column,
            parts=tuple(
                p
                for p in column.parts
                if p.name != gone.name and not (p.kind is Kind.DISC and gone.name in p.name.split("-"))
            ),
        )
    return column


def _beyond(donor: Column, anchor: str, below: bool, count: int) -> list[Part]:
    names = [p.name for p in donor.parts if p.kind is Kind.VERTEBRA]
    at = names.index(anchor)
    wanted = names[at + 1 : at + 1 + count] if below else names[max(at - count, 0) : at]
    with_anchor = {*wanted, anchor}
    sacrum = below and (not wanted or wanted[-1] == LEVELS[-1])
    if sacrum:
        with_anchor |= {"S1", "S2"}
    taken = []
    for part in donor.parts:
        if part.name in wanted or (sacrum and part.kind in (Kind.SACRUM, Kind.HIP)):
            taken.append(part)
        elif part.kind is Kind.DISC and set(part.name.split("-")) <= with_anchor:
            joins = anchor in part.name.split("-")
            taken.append(replace(part, distance=part.distance - np.float16(_THICKEN_MM)) if joins else part)
    return taken


def _surface(part: Part, spacing: float) -> Doubles:
    near = np.argwhere(np.abs(part.distance.astype(np.float32)) < 0.5 * spacing)
    return np.asarray((near[:: max(1, len(near) // _POINTS)] + part.start) * spacing)


def _middle(part: Part, spacing: float) -> Doubles:
    assert part.body is not None
    return np.asarray((np.argwhere((part.distance < 0) & (part.body < 0)).mean(axis=0) + part.start) * spacing)


def _moved(part: Part, spacing: float, new_spacing: float, fit: Fit) -> Part:
    """The donor's part on the recipient's grid."""
    size = np.asarray(part.distance.shape)
    corners = np.array([[i, j, k] for i in (0, size[0]) for j in (0, size[1]) for k in (0, size[2])]) + part.start
    world = corners * spacing @ fit.matrix[:3, :3].T + fit.matrix[:3, 3]
    low = np.floor(world.min(0) / new_spacing).astype(int)
    high = np.ceil(world.max(0) / new_spacing).astype(int) + 1
    back = np.linalg.inv(fit.matrix)
    # Recipient voxel to donor voxel of the part's box.
    turn = back[:3, :3] * (new_spacing / spacing)
    shift = turn @ low + back[:3, 3] / spacing - part.start
    shape = tuple(int(n) for n in high - low)

    def on_grid(values: npt.NDArray[np.float16]) -> npt.NDArray[np.float16]:
        new = ndimage.affine_transform(
            values.astype(np.float32), turn, shift, shape, order=1, mode="constant", cval=REACH_MM
        )
        return np.asarray(np.clip(new * fit.scale, -REACH_MM, REACH_MM), dtype=np.float16)

    body = None if part.body is None else on_grid(part.body)
    return replace(
        part,
        distance=on_grid(part.distance),
        body=body,
        start=_triple(low),
        whole=False if body is not None else part.whole,
    )


def _grid_line(column: Column) -> Doubles:
    line = (column.canal - column.affine[:3, 3]) @ np.linalg.inv(column.affine[:3, :3]).T * column.spacing
    return np.asarray(line[np.argsort(-line[:, 2], kind="stable")])


def _line(column: Column, donor: Column, fit: Fit, middle: Doubles, below: bool) -> Doubles:
    own = _grid_line(column)
    borrowed = _grid_line(donor) @ fit.matrix[:3, :3].T + fit.matrix[:3, 3]
    sign = 1.0 if below else -1.0
    own = own[(own[:, 2] - middle[2]) * sign > 0]
    borrowed = borrowed[(borrowed[:, 2] - middle[2]) * sign <= 0]
    line = np.concatenate([own, borrowed] if below else [borrowed, own])
    heights = np.arange(line[:, 2].max(), line[:, 2].min(), -1.0)
    order = np.argsort(line[:, 2])
    even = np.stack([np.interp(heights, line[order, 2], line[order, k]) for k in range(3)], axis=1)
    for axis in (0, 1):
        even[:, axis] = ndimage.gaussian_filter1d(even[:, axis], _JOIN_MM, mode="nearest")
    return even


def _sac(column: Column, donor: Column, fit: Fit, middle: Doubles, below: bool) -> Part:
    """The recipient's sac as far as the shared vertebra, then the donor's."""
    own = next(p for p in column.parts if p.kind is Kind.SAC)
    theirs = _moved(next(p for p in donor.parts if p.kind is Kind.SAC), donor.spacing, column.spacing, fit)
    low = np.minimum(own.start, theirs.start)
    high = np.maximum(np.add(own.start, own.distance.shape), np.add(theirs.start, theirs.distance.shape))
    fields = []
    for part in (own, theirs):
        whole = np.full(high - low, REACH_MM, dtype=np.float32)
        at = np.subtract(part.start, low)
        whole[tuple(slice(a, a + n) for a, n in zip(at, part.distance.shape, strict=True))] = part.distance
        fields.append(whole)
    height = (np.arange(low[2], high[2]) * column.spacing - middle[2]) * (1.0 if below else -1.0)
    share = (1 / (1 + np.exp(-height / _BLEND_MM))).astype(np.float32)
    mixed = share * fields[0] + (1 - share) * fields[1]
    return Part(own.name, Kind.SAC, mixed.astype(np.float16), _triple(low))


def _surround(
    column: Column, donor: Column, fit: Fit, middle: Doubles, below: bool, low: npt.NDArray[Any], high: Doubles
) -> tuple[npt.NDArray[np.uint8] | None, Doubles | None]:
    """The recipient's surroundings, made taller, the donor's beyond the shared vertebra."""
    if column.surround is None or column.surround_affine is None:
        return None, None
    if donor.surround is None or donor.surround_affine is None:
        return column.surround, column.surround_affine
    to_grid = np.diag([column.spacing] * 3 + [1.0]) @ np.linalg.inv(column.affine) @ column.surround_affine
    step = float(to_grid[2, 2])
    bottom, top = to_grid[2, 3], to_grid[2, 3] + step * (column.surround.shape[2] - 1)
    more_below = max(int(np.ceil((bottom - (low[2] * column.spacing - 10)) / step)), 0)
    more_above = max(int(np.ceil((high[2] * column.spacing + 10 - top) / step)), 0)
    codes = np.pad(column.surround, ((0, 0), (0, 0), (more_below, more_above)), mode="edge")
    affine = column.surround_affine.copy()
    affine[:3, 3] -= affine[:3, 2] * more_below
    to_grid[:3, 3] -= to_grid[:3, 2] * more_below
    height = to_grid[2, 3] + step * np.arange(codes.shape[2])
    beyond = height < middle[2] - _SURROUND_MM if below else height > middle[2] + _SURROUND_MM
    planes = np.flatnonzero(beyond)
    if len(planes):
        first = np.eye(4)
        first[2, 3] = planes[0]
        donor_grid = np.diag([donor.spacing] * 3 + [1.0]) @ np.linalg.inv(donor.affine)
        chain = np.linalg.inv(donor_grid @ donor.surround_affine) @ np.linalg.inv(fit.matrix) @ to_grid @ first
        shape = (*codes.shape[:2], len(planes))
        theirs = ndimage.affine_transform(donor.surround, chain[:3, :3], chain[:3, 3], shape, order=0, mode="nearest")
        codes[:, :, planes] = _within(codes[:, :, planes], theirs, to_grid, middle[1])
    return codes, affine


def _within(
    own: npt.NDArray[np.uint8], theirs: npt.NDArray[np.uint8], to_grid: Doubles, canal: float
) -> npt.NDArray[np.uint8]:
    """The donor's tissues inside the recipient's outline, so that no step shows; behind, inside either's."""
    air, skin, fat = (list(Surround).index(tissue) for tissue in (Surround.AIR, Surround.SKIN, Surround.FAT))
    behind = (to_grid[1, 3] + to_grid[1, 1] * np.arange(own.shape[1]) < canal)[None, :, None]
    deep = (theirs != air) & (own != air)
    inner = np.where(deep & (own != skin), np.where(theirs == skin, fat, theirs), own)
    return np.where(behind & (own == air), theirs, inner).astype(np.uint8)


def _triple(values: npt.ArrayLike) -> tuple[int, int, int]:
    x, y, z = (int(v) for v in np.asarray(values))
    return x, y, z
