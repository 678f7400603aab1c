"""The exact truth of a foramen: DESIGN's definition computed from the implicit surfaces themselves.

Nothing is sampled on an image's grid and nothing is smoothed, so that no correction is needed. It shares no code with
the engine that measures labels, which is judged by it. Where the definition leaves a choice, it is made as follows.

- Sections lie 1, 2, ... 5 mm behind the posterior wall, parallel to it. The pedicle is the largest piece of bone in a
  section on its side; its height at one L is the mean over the sections of the longest run of bone at that L.
- The front of the opening is looked for between the middles of the two pedicles, from the bodies backwards, down to
  8 mm behind the line that joins the posterior walls.
- A pocket between superior articular process and L4 is a joint's slit, and cut off, when it is at most 2 mm wide at its
  mouth and more than twice as deep as wide. The cut lies where the slit stops narrowing.
- Between L4's rounded rim and the disc the opening ends in a crevice. FW starts at its end, which is looked for at a
  step of 0.01 mm: at 0.2 mm the crevice closes up to 0.5 mm too early.
- A point belongs to the articular processes when the bone it touches lies more than 5 mm behind the wall, or more than
  1 mm above L5's (below L4's) pedicle and more than 1.5 mm behind the wall; else it is pedicle or wall.

Accuracy: halving the step from 0.2 to 0.1 mm moves area by at most 0.3 % and lengths by at most 0.05 mm (tested).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.measure import find_contours

from livf.lib.anatomy import L4, L5
from livf.lib.synthesis.slab import SECTIONS_MM, Pedicle, RefusedError, Scene, Side, Vector, View

#: Names of the outline's parts, as they are met going down the front and up the back.
PARTS: Final = ("L4 pedicle", "L4 posterior wall", "disc", "L5 posterior wall", "L5 pedicle",
                "L5 superior articular process", "joint", "L4 posterior elements", "edge")  # fmt: skip
(_L4_PEDICLE, _L4_WALL, _DISC, _L5_WALL, _L5_PEDICLE, _L5_PROCESS, _JOINT, _L4_POSTERIOR, _EDGE) = range(len(PARTS))
_UPPER: Final = (_L4_PEDICLE, _L4_WALL, _L4_POSTERIOR)

STEP_MM: Final = 0.2
_COARSE_MM: Final = 0.8
#: How far a coarse sample may mislead, mm: the functions are distances to first order only, hence about twice the
#: half-diagonal of a coarse cell.
_MARGIN_MM: Final = 1.3
_WALL_REACH_MM: Final = 8.0
_MIN_PART_MM2: Final = 5.0
_MAX_GAP_MM: Final = 2.0
_SLIT_DEPTH: Final = 2.0
_POSTERIOR: Final = 0.5
_OUTLINE_STEP_MM: Final = 0.1
#: Half-width and step of the windows in which the corner is looked for, mm.
_CORNER_SEARCH_MM: Final = ((1.0, 0.05), (0.15, 0.01))
_TOUCHING_MM: Final = 0.03


@dataclass(frozen=True, eq=False)
class ForamenTruth:
    """What a measurement of one foramen should find.

    Attributes:
        side: The patient's side.
        area_mm2: FA; None when refused (see ``reasons``).
        height_mm: FH; None when refused.
        width_mm: FW; None when refused, or when the outline has no point that FW may end at.
        slab_mm: Medial and lateral border, mm from the frame's origin along its side; None without pedicles.
        closed_gap_mm: Length of the closing segment across the joint, 0 when none was needed.
        reasons: Why numbers are missing: ``pedicle_not_found``, ``opening_not_found``, ``outline_split``,
            ``outline_open``, ``truncated_posterior_elements``, ``corner_not_found``.
        outline: Closed outline, ``(N, 2)``, (A, S) mm in the frame, going down the front and up the back from the top;
            empty when refused.
        parts: What bounds each point of the outline, indices into :data:`PARTS`.
        landmarks: ``superior``, ``inferior``, and with FW ``posteroinferior_corner`` and ``facet``: (A, S) mm.
    """

    side: Side
    area_mm2: float | None
    height_mm: float | None
    width_mm: float | None
    slab_mm: tuple[float, float] | None
    closed_gap_mm: float
    reasons: tuple[str, ...]
    outline: Vector
    parts: npt.NDArray[np.int64]
    landmarks: dict[str, tuple[float, float]]


def foramen_truth(scene: Scene, side: Side, *, step: float = STEP_MM) -> ForamenTruth:
    """Measure one foramen of a scene in the scene's own frame.

    Args:
        scene: Implicit structures and the level's known frame.
        side: The patient's side.
        step: Largest distance between samples near the surfaces, mm.

    Returns:
        The truth; what does not exist is None with its reason, never 0.
    """
    view = View(scene, side)
    slab: tuple[float, float] | None = None
    try:
        pedicles = {vertebra.name: view.pedicle(vertebra.name) for vertebra in (L4, L5)}
        slab = min(p.medial for p in pedicles.values()), max(p.lateral for p in pedicles.values())
        projection = _Projection(view, slab, pedicles, step)
        outline, parts, normal, gap = _close(*projection.outline())
        _check_posterior(outline, parts, normal)
    except RefusedError as refusal:
        empty = np.empty((0, 2))
        return ForamenTruth(side, None, None, None, slab, 0.0, (str(refusal),), empty, np.empty(0, np.int64), {})
    top, bottom = outline[outline[:, 1].argmax()], outline[outline[:, 1].argmin()]
    landmarks = {"superior": _pair(top), "inferior": _pair(bottom)}
    width = _width(projection, outline, parts, normal)
    if width:
        landmarks |= {"posteroinferior_corner": _pair(width[0]), "facet": _pair(width[1])}
    return ForamenTruth(
        side=side,
        area_mm2=abs(_signed_area(outline)),
        height_mm=float(top[1] - bottom[1]),
        width_mm=float(np.linalg.norm(width[1] - width[0])) if width else None,
        slab_mm=slab,
        closed_gap_mm=gap,
        reasons=() if width else ("corner_not_found",),
        outline=outline,
        parts=parts,
        landmarks=landmarks,
    )


class _Projection:
    """The union of the structures within the slab, projected along L: a function of (A, S), negative in the union."""

    def __init__(self, view: View, slab: tuple[float, float], pedicles: dict[str, Pedicle], step: float) -> None:
        self.view, self.pedicles, self.step = view, pedicles, step
        self.along = np.linspace(*slab, max(2, int(np.ceil((slab[1] - slab[0]) / step)) + 1))
        self.walls = np.stack([view.to_frame(view.scene.walls[s.name].origin)[1:] for s in (L5, L4)])
        bottom, top = pedicles[L5.name].middle[1], pedicles[L4.name].middle[1]
        if top - bottom < _COARSE_MM:
            raise RefusedError("opening_not_found")
        self.a = np.arange(self.walls[:, 0].min() - 34, self.walls[:, 0].max() + 5, step)
        self.s = np.arange(bottom, top, step)
        self.value = self._sample()

    def _sample(self) -> Vector:
        """Coarsely everywhere, at the step near the surface."""
        self._coarse = [
            np.linspace(axis[0], axis[-1], max(2, int(np.ceil((axis[-1] - axis[0]) / _COARSE_MM)) + 1))
            for axis in (self.along, self.a, self.s)
        ]
        self._rough = self.view.distances(np.stack(np.meshgrid(*self._coarse, indexing="ij"), axis=-1)).min(axis=-1)
        where = np.stack(np.meshgrid(self.a, self.s, indexing="ij"), axis=-1)
        value = self._guess(where.reshape(-1, 2)).min(axis=0).reshape(where.shape[:2])
        near = np.abs(value) < _MARGIN_MM
        value[near] = self.exact(where[near])
        return np.asarray(value)

    def _guess(self, where: Vector) -> Vector:
        """Rough values along L at (A, S) points, ``(along, points)``."""
        layers = self._coarse[0]
        at = [(axis - c[0]) * (len(c) - 1) / (c[-1] - c[0]) for axis, c in zip(where.T, self._coarse[1:], strict=True)]
        sampled = np.stack([ndimage.map_coordinates(layer, at, order=1, mode="nearest") for layer in self._rough])
        below = np.clip(np.searchsorted(layers, self.along, side="right") - 1, 0, len(layers) - 2)
        share = ((self.along - layers[below]) / (layers[below + 1] - layers[below]))[:, None]
        return np.asarray(sampled[below] * (1 - share) + sampled[below + 1] * share)

    def exact(self, where: Vector) -> Vector:
        """The projection at (A, S) points, looked for along L only where its minimum can lie."""
        guess = self._guess(where)
        layer, point = np.nonzero(guess < guess.min(axis=0) + _MARGIN_MM)
        own = self.view.distances(np.column_stack((self.along[layer], where[point]))).min(axis=-1)
        value = np.full(len(where), np.inf)
        np.minimum.at(value, point, own)
        return value

    def sharpen(self, corner: Vector) -> Vector:
        """Where L4 and what lies below it really meet, near an outline point where they seem to."""
        for reach, step in _CORNER_SEARCH_MM:
            corner = self._meeting(corner, reach, step)
        return corner

    def _meeting(self, corner: Vector, reach: float, step: float) -> Vector:
        offsets = np.arange(-reach, reach + step / 2, step)
        where = corner + np.stack(np.meshgrid(offsets, offsets, indexing="ij"), axis=-1)
        value = self.exact(where.reshape(-1, 2)).reshape(where.shape[:2])
        best, nearest = corner, np.inf
        for contour in find_contours(value, 0.0):
            points = corner - reach + contour * step
            upper = np.isin(self._name(points)[0], _UPPER)
            for at in np.flatnonzero(upper[1:] != upper[:-1]):
                meeting = points[at : at + 2].mean(axis=0)
                if np.linalg.norm(meeting - corner) < nearest:
                    best, nearest = meeting, float(np.linalg.norm(meeting - corner))
        return np.asarray(best)

    def outline(self) -> tuple[Vector, npt.NDArray[np.int64], Vector]:
        """Outline of the opening at :data:`_OUTLINE_STEP_MM`, the part each point belongs to, and outward normals."""
        opening = self._opening()
        # Other openings become bone; the edge of the sampled area is a wall, which names itself.
        padded = np.pad(np.where(opening | (self.value <= 0), self.value, -1e-3), 1, constant_values=-self.step)
        contour = max(find_contours(padded, 0.0), key=lambda c: abs(_signed_area(c)))[:-1]
        points = np.array([self.a[0], self.s[0]]) + (contour - 1) * self.step
        if _signed_area(points) > 0:
            points = points[::-1]
        points = _resample(points)
        parts, normal = self._name(points)
        # The way starts at the roof. An open outline has still higher points, behind the posterior elements.
        roof = np.isin(parts, (_L4_PEDICLE, _L4_WALL))
        start = int(np.where(roof if roof.any() else True, points[:, 1], -np.inf).argmax())
        return np.roll(points, -start, axis=0), np.roll(parts, -start), np.roll(normal, -start, axis=0)

    def _opening(self) -> npt.NDArray[np.bool_]:
        pieces, count = ndimage.label(self.value > 0)
        slope, offset = np.polyfit(self.walls[:, 1], self.walls[:, 0], 1)
        touching: set[int] = set()
        for column, height in enumerate(self.s):
            free = np.flatnonzero(pieces[:, column])
            if free.size and self.a[free[-1]] > slope * height + offset - _WALL_REACH_MM:
                touching.add(int(pieces[free[-1], column]))
        sizes = np.bincount(pieces.ravel(), minlength=count + 1) * self.step**2
        large = [piece for piece in touching if sizes[piece] > _MIN_PART_MM2]
        if not large:
            raise RefusedError("opening_not_found")
        if len(large) > 1:
            raise RefusedError("outline_split")
        return np.asarray(pieces == large[0])

    def _name(self, points: Vector) -> tuple[npt.NDArray[np.int64], Vector]:
        shape = (len(points), len(self.along))
        grid = np.empty((*shape, 3))
        grid[..., 0], grid[..., 1:] = self.along, points[:, None]
        values = self.view.distances(grid).reshape(len(points), -1)
        layer, structure = np.divmod(values.argmin(axis=1), 3)
        contact = np.column_stack((self.along[layer], points))
        parts = np.full(len(points), _DISC)
        for index, name, codes in (
            (0, L4.name, (_L4_WALL, _L4_PEDICLE, _L4_POSTERIOR)),
            (2, L5.name, (_L5_WALL, _L5_PEDICLE, _L5_PROCESS)),
        ):
            own = structure == index
            parts[own] = self._part_of_vertebra(name, contact[own], codes)
        low, high = np.array([self.a[0], self.s[0]]), np.array([self.a[-1], self.s[-1]])
        parts[((points < low + self.step / 4) | (points > high - self.step / 4)).any(axis=1)] = _EDGE
        # The minimum along L does not move to first order, so its own gradient is that of the projection.
        normal = np.empty_like(points)
        for axis in (0, 1):
            shift = np.zeros(3)
            shift[axis + 1] = 0.02
            difference = self.view.distances(contact - shift) - self.view.distances(contact + shift)
            normal[:, axis] = difference[np.arange(len(points)), structure]
        return parts, normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)

    def _part_of_vertebra(self, name: str, contact: Vector, codes: tuple[int, int, int]) -> npt.NDArray[np.int64]:
        wall, pedicle = self.view.scene.walls[name], self.pedicles[name]
        moved = self.view.to_world(contact) - wall.origin
        behind, height = -moved @ wall.anterior, moved @ wall.superior
        off = height > pedicle.top + 1 if name == L5.name else height < pedicle.bottom - 1
        process = (behind > SECTIONS_MM[-1]) | (off & (behind > 1.5))
        on_wall = ~process & ((behind < SECTIONS_MM[0]) | off)
        return np.select([process, on_wall], [codes[2], codes[0]], codes[1]).astype(np.int64)

    def free(self, start: Vector, end: Vector) -> bool:
        """Whether a segment between two outline points runs inside the opening."""
        share = np.linspace(0, 1, max(3, int(np.linalg.norm(end - start) / (self.step / 2))))[1:-1, None]
        return bool((self.exact(start + share * (end - start)) > -_TOUCHING_MM).all())


def _close(
    outline: Vector, parts: npt.NDArray[np.int64], normal: Vector
) -> tuple[Vector, npt.NDArray[np.int64], Vector, float]:
    """Cut off the slit of the joint, and refuse what stays open."""
    cut = _mouth(outline, parts)
    gap = 0.0
    if cut:
        first, last = cut
        gap = float(np.linalg.norm(outline[last] - outline[first]))
        share = np.linspace(0, 1, max(2, int(np.ceil(gap / _OUTLINE_STEP_MM)) + 1))[1:-1, None]
        bridge = outline[first] + share * (outline[last] - outline[first])
        along = (outline[last] - outline[first]) / max(gap, 1e-9)
        # Outwards is to the left of a clockwise way.
        outwards = np.broadcast_to((-along[1], along[0]), bridge.shape)
        kept = slice(0, first + 1), slice(last, None)
        outline = np.concatenate((outline[kept[0]], bridge, outline[kept[1]]))
        parts = np.concatenate((parts[kept[0]], np.full(len(bridge), _JOINT), parts[kept[1]]))
        normal = np.concatenate((normal[kept[0]], outwards, normal[kept[1]]))
    if (parts == _EDGE).any():
        raise RefusedError("outline_open")
    return outline, parts, normal, gap


def _mouth(outline: Vector, parts: npt.NDArray[np.int64]) -> tuple[int, int] | None:
    """Indices of the two ends of the closing segment across the joint, first on L5's process, then on L4."""
    lower = np.flatnonzero(parts == _L5_PROCESS)
    upper = np.flatnonzero((parts == _L4_POSTERIOR) | (parts == _L4_PEDICLE))
    if not (lower.size and upper.size):
        return None
    candidates: list[tuple[int, int, float]] = []
    for first in map(int, lower):
        beyond = upper[upper > first]
        if not beyond.size:
            continue
        gaps = np.linalg.norm(outline[beyond] - outline[first], axis=1)
        last, gap = int(beyond[gaps.argmin()]), float(gaps.min())
        if gap > _MAX_GAP_MM or not _is_slit(outline, first, last, gap):
            continue
        if _in_upper_half(outline, first, last):
            candidates.append((first, last, gap))
    reach = round(1.0 / _OUTLINE_STEP_MM)
    for at, (first, last, gap) in enumerate(candidates):
        following = [g for f, _, g in candidates[at : at + reach] if f - first < reach]
        if gap <= min(following) + 0.1:
            return first, last
    return None


def _is_slit(outline: Vector, first: int, last: int, gap: float) -> bool:
    along = (outline[last] - outline[first]) / max(gap, 1e-9)
    pocket = outline[first : last + 1] - outline[first]
    depth = float(np.max(along[0] * pocket[:, 1] - along[1] * pocket[:, 0]))
    return depth > _SLIT_DEPTH * max(gap, 0.1)


def _in_upper_half(outline: Vector, first: int, last: int) -> bool:
    kept = np.concatenate((outline[: first + 1, 1], outline[last:, 1]))
    return bool(outline[[first, last], 1].mean() > (kept.max() + kept.min()) / 2)


def _check_posterior(outline: Vector, parts: npt.NDArray[np.int64], normal: Vector) -> None:
    """The lower posterior boundary must be L5's; otherwise its process is missing."""
    low, high = outline[:, 1].min(), outline[:, 1].max()
    behind = (normal[:, 0] < -_POSTERIOR) & (outline[:, 1] < low + (high - low) / 3)
    if not behind.any() or np.isin(parts[behind], (_L5_PEDICLE, _L5_PROCESS)).mean() < 0.5:
        raise RefusedError("truncated_posterior_elements")


def _width(
    projection: _Projection, outline: Vector, parts: npt.NDArray[np.int64], normal: Vector
) -> tuple[Vector, Vector] | None:
    """The two ends of FW: the corner, and the nearest point of the articular processes that it sees."""
    upper = np.isin(parts, _UPPER)
    ends = np.flatnonzero(upper[:-1] & np.isin(parts[1:], (_DISC, _L5_WALL, _L5_PEDICLE)))
    if not ends.size:
        return None
    corner = projection.sharpen(outline[ends[0]])
    allowed = (normal[:, 0] < -_POSTERIOR) & np.isin(parts, (_L5_PROCESS, _L4_POSTERIOR))
    targets = outline[allowed]
    for index in np.argsort(np.linalg.norm(targets - corner, axis=1), kind="stable"):
        if projection.free(corner, targets[index]):
            return corner, targets[index]
    return None


def _resample(points: Vector) -> Vector:
    """A closed line at even steps, starting where it started."""
    closed = np.concatenate((points, points[:1]))
    length = np.concatenate(([0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))))
    count = max(8, int(np.ceil(length[-1] / _OUTLINE_STEP_MM)))
    at = np.linspace(0, length[-1], count, endpoint=False)
    return np.stack([np.interp(at, length, closed[:, axis]) for axis in (0, 1)], axis=-1)


def _signed_area(points: Vector) -> float:
    x, y = (points - points[0]).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _pair(point: Vector) -> tuple[float, float]:
    return float(point[0]), float(point[1])
