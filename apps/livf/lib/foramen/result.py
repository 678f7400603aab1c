"""What a measurement of a level is: frozen values, nothing that computes.

Coordinates. *Frame* coordinates are ``(L, A, S)`` in mm from the frame's origin: to the patient's left, to the front,
towards the upper vertebra. *Side* coordinates are ``(M, A, S)``, where M grows laterally on either side (M is L on
the left and -L on the right). The lateral view of a side is the plane ``(A, S)``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.values import LevelStatus

Side = Literal["left", "right"]
Status = Literal["ok", "warning", "refused"]
Answer = Literal["yes", "no", "borderline"]
Points = npt.NDArray[np.float64]

SIDES: Final[tuple[Side, Side]] = ("left", "right")

#: What bounds a piece of the outline; ``Outline.parts`` holds indices into this tuple. "Arch" is everything behind the
#: upper vertebra's pedicle: lamina, pars and inferior articular process; "facet" the lower one's superior articular
#: process; "joint" the closing segment between the two.
PARTS: Final[tuple[str, ...]] = (
    f"{L4.name}_pedicle",
    f"{L4.name}_posterior_wall",
    DISC.name,
    f"{L5.name}_posterior_wall",
    f"{L5.name}_pedicle",
    f"{L5.name}_superior_articular_process",
    "joint",
    f"{L4.name}_arch",
)
(
    UPPER_PEDICLE,
    UPPER_WALL,
    DISC_EDGE,
    LOWER_WALL,
    LOWER_PEDICLE,
    FACET,
    JOINT,
    UPPER_ARCH,
) = range(len(PARTS))


@dataclass(frozen=True, eq=False)
class Frame:
    """The level's coordinate system: an origin (RAS mm) and three orthogonal unit vectors in RAS.

    Attributes:
        origin: Centroid of the disc, RAS mm.
        left: Unit vector to the patient's left.
        anterior: Unit vector to the front.
        superior: Unit vector along the disc's normal, towards the upper vertebra.
    """

    origin: Points
    left: Points
    anterior: Points
    superior: Points

    @property
    def axes(self) -> Points:
        """Rows left, anterior, superior, ``(3, 3)``."""
        return np.stack([self.left, self.anterior, self.superior])

    def to_frame(self, ras: npt.ArrayLike) -> Points:
        """RAS mm ``(..., 3)`` to ``(L, A, S)`` mm."""
        return np.asarray((np.asarray(ras, dtype=np.float64) - self.origin) @ self.axes.T)

    def to_ras(self, las: npt.ArrayLike) -> Points:
        """``(L, A, S)`` mm ``(..., 3)`` to RAS mm."""
        return np.asarray(np.asarray(las, dtype=np.float64) @ self.axes + self.origin)

    def side_to_ras(self, side: Side, mas: npt.ArrayLike) -> Points:
        """Side coordinates ``(M, A, S)`` mm ``(..., 3)`` to RAS mm."""
        return self.to_ras(np.asarray(mas, dtype=np.float64) * [side_sign(side), 1.0, 1.0])


def side_sign(side: Side) -> float:
    """+1 where lateral is +L (left), -1 on the right."""
    return 1.0 if side == "left" else -1.0


@dataclass(frozen=True, eq=False)
class Outline:
    """The foramen's closed contour in the lateral view.

    Attributes:
        points: ``(N, 2)``, (A, S) mm in the frame; closed (the first point is not repeated), at most 0.5 mm apart,
            going down the front and up the back.
        parts: ``(N,)``, what bounds each point: indices into :data:`PARTS`.
        ras: ``(N, 3)``, the same points in RAS mm, laid in the middle of the slab.
    """

    points: Points
    parts: npt.NDArray[np.int64]
    ras: Points

    def named(self) -> tuple[tuple[str, Points], ...]:
        """Runs of one part, in the outline's order: name and ``(n, 2)`` points; each ends where the next begins."""
        starts = np.flatnonzero(self.parts != np.roll(self.parts, 1))
        if not starts.size:
            return ((PARTS[int(self.parts[0])], self.points),)
        ring = np.roll(self.points, -int(starts[0]), axis=0)
        part = np.roll(self.parts, -int(starts[0]))
        cuts = [*(starts - starts[0]), len(part)]
        return tuple((PARTS[int(part[a])], ring[np.arange(a, b + 1) % len(part)]) for a, b in pairwise(cuts))


@dataclass(frozen=True, eq=False)
class LateralView:
    """The parallel projection along L that the outline was read from, for drawing.

    Attributes:
        image: float32 ``(nA, nS)``: how much bone or disc lies behind each point, 0 (free) to 1.
        structure: uint8 ``(nA, nS)``: label value of the structure that bounds most there, 0 where free.
        origin: (A, S) mm in the frame of sample ``[0, 0]``'s centre.
        step: Sample distance, mm.
    """

    image: npt.NDArray[np.float32]
    structure: npt.NDArray[np.uint8]
    origin: tuple[float, float]
    step: float

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Edges of the image: front-back and height limits (A low, A high, S low, S high), mm."""
        (n_a, n_s), (a, s), half = self.image.shape, self.origin, self.step / 2
        return a - half, a + (n_a - 1) * self.step + half, s - half, s + (n_s - 1) * self.step + half


@dataclass(frozen=True, eq=False)
class Solid:
    """The reconstructed foramen as a smooth function in side coordinates, for meshes and display labels.

    The free space between the slab's borders; where a plane is not closed by bone, it ends at the outline's convex
    hull. Its zero level is closed inside the grid: the outermost samples are all negative.

    Attributes:
        values: float32 ``(nM, nA, nS)``, positive inside, about mm near the surface.
        origin: (M, A, S) mm of sample ``[0, 0, 0]``.
        step: Sample distance along M, A and S, mm.
    """

    values: npt.NDArray[np.float32]
    origin: tuple[float, float, float]
    step: tuple[float, float, float]


@dataclass(frozen=True)
class Foraminoplasty:
    """The paper's thresholds as answers: criteria, not advice. Distances are value minus threshold, mm."""

    height_le_15_mm: Answer
    width_le_8_mm: Answer | None
    criteria_met: Answer
    height_distance_mm: float
    width_distance_mm: float | None


@dataclass(frozen=True)
class Segment:
    """A measured segment in the lateral view: its ends (A, S) mm in the frame."""

    start: tuple[float, float]
    end: tuple[float, float]

    @property
    def length_mm(self) -> float:
        """Distance of the ends, mm."""
        return float(np.hypot(self.end[0] - self.start[0], self.end[1] - self.start[1]))


@dataclass(frozen=True, eq=False)
class Section:
    """A cross-section of the foramen normal to L.

    Attributes:
        area_mm2: Area of the closed section.
        position_mm: M of the plane, mm from the frame's origin.
    """

    area_mm2: float
    position_mm: float


@dataclass(frozen=True, eq=False)
class Numbers:
    """All numbers of one measured foramen (DESIGN 4). None: it does not exist on this shape, never 0.

    Attributes:
        area_mm2: FA.
        height_mm: FH.
        width_mm: FW.
        min_width_mm: Narrowest antero-posterior width.
        min_width_position_mm: S of it.
        min_width_bounded_by: Name of the part in front of it, from :data:`PARTS`.
        widths_mm: Antero-posterior widths at 75 % ("superior"), 50 and 25 % of the height.
        section: Smallest closed section in the slab.
        section_entry: Section at the slab's lateral border.
        section_mid_zone: Section in the slab's middle.
        channel_diameter_mm: Largest circle inside the outline (bony fit only; no nerve is segmented).
        channel_centre: (A, S) of it.
        closed_gap_mm: Length of the closing segment, 0 when none was needed.
        slab_mm: Medial and lateral border, M in mm.
        width_segment: Where FW was measured, from the corner to the facet.
        min_width_segment: Where ``min_width_mm`` was measured.
    """

    area_mm2: float
    height_mm: float
    width_mm: float | None
    min_width_mm: float | None
    min_width_position_mm: float | None
    min_width_bounded_by: str | None
    widths_mm: dict[str, float | None]
    section: Section | None
    section_entry: Section | None
    section_mid_zone: Section | None
    channel_diameter_mm: float
    channel_centre: tuple[float, float]
    closed_gap_mm: float
    slab_mm: tuple[float, float]
    width_segment: Segment | None
    min_width_segment: Segment | None

    @property
    def section_area_mm2(self) -> float | None:
        """Area of the smallest closed section."""
        return self.section.area_mm2 if self.section else None


@dataclass(frozen=True, eq=False)
class ForamenMeasurement:
    """One side. A refused side has no number: ``numbers``, ``outline``, ``solid`` are None and ``sd`` is empty.

    Attributes:
        side: The patient's side.
        status: ``ok``, ``warning`` (numbers with reasons) or ``refused``.
        reasons: Codes of :mod:`livf.lib.foramen.reasons`.
        numbers: The measured numbers.
        sd: One standard deviation of each number that has one, by the number's name (mm, mm²).
        foraminoplasty: The thresholds.
        outline: The contour with its named parts.
        landmarks_ras_mm: ``superior``, ``inferior``, and where FW exists ``posteroinferior_corner`` and ``facet``.
        landmarks: The same in the lateral view, (A, S) mm.
        view: The lateral projection; kept on a refused side too where one could be made, to see why.
        solid: The reconstructed foramen.
    """

    side: Side
    status: Status
    reasons: tuple[str, ...] = ()
    numbers: Numbers | None = None
    sd: dict[str, float] = field(default_factory=dict)
    foraminoplasty: Foraminoplasty | None = None
    outline: Outline | None = None
    landmarks_ras_mm: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    landmarks: dict[str, tuple[float, float]] = field(default_factory=dict)
    view: LateralView | None = None
    solid: Solid | None = None

    @property
    def measured(self) -> bool:
        """Whether this side has numbers."""
        return self.numbers is not None


@dataclass(frozen=True)
class DiscHeight:
    """Height of the disc at the front, in the middle and at the back, mm; None where it cannot be read."""

    anterior: float | None
    middle: float | None
    posterior: float | None


@dataclass(frozen=True, eq=False)
class Measurement:
    """A level.

    Attributes:
        level_status: How sure the level is (``unclear`` is not measured).
        frame: The coordinate system; None when it could not be found (then both sides are refused).
        foramina: Both sides.
        disc_height_mm: Heights of the disc; None without a frame.
        differences: Left minus right of each number both sides have, by name (mm, mm²).
        warnings: Codes that concern the whole level.
    """

    level_status: LevelStatus
    frame: Frame | None
    foramina: dict[Side, ForamenMeasurement]
    disc_height_mm: DiscHeight | None = None
    differences: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def left(self) -> ForamenMeasurement:
        """The patient's left foramen."""
        return self.foramina["left"]

    @property
    def right(self) -> ForamenMeasurement:
        """The patient's right foramen."""
        return self.foramina["right"]

    @property
    def measured(self) -> bool:
        """Whether at least one side has numbers."""
        return any(f.measured for f in self.foramina.values())
