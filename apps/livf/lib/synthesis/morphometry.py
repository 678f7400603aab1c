"""Sizes of the lower lumbar spine, and how they vary between people.

Lengths are in mm, angles in degrees. Sources, by the letters in the comments:

[C] Cook and Baker, Int J Spine Surg 2021;15(6):1072-1081: CT of 196 adults, L1 to L5. L5: anterior height 30.3
    (SD 1.9), posterior height 26.3 (1.9), length 35.7 above and 35.3 below (3.5), pedicle height 12.9 (1.9), pedicle
    width 16.1 (2.3), canal length 15.6 (2.1), canal width 28.2 (3.1); men are larger by 4 to 11 %; canal length is
    about constant from L1 to L5, pedicle height falls and pedicle width grows downwards.
[P] Panjabi et al., Spine 1992;17(3):299-306: lumbar vertebrae, quantitative three-dimensional anatomy.
[F] Panjabi et al., Spine 1993;18(10):1298-1310: facets from C3 to L5 are 9.6 to 16.3 wide and 10.2 to 18.4 high, 20.8
    to 40.6 apart.
[O] Onishi et al., Interdiscip Neurosurg 2019;18: anterior heights of normal discs, L3-4 9.3, L4-5 10.9, L5-S1 12.4.
[H] Hasegawa et al., Spine 1995;20(1):32-38: lumbar foraminal stenosis and disc height.
[own] Our choice where no figure was at hand, checked by eye against CT and MRI.

None of these is fitted to the foramina of Chen et al. 2022: those are what the phantoms are compared with.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, get_args

import numpy as np

from livf.lib.anatomy import DISC, L4, L5

#: Neighbours of the segmented level: they have names here only, and no label.
L3: Final = "L3"
SACRUM: Final = "S1"
DISC_ABOVE: Final = "disc_L3_4"
DISC_BELOW: Final = "disc_L5_S1"

Group = Literal["healthy", "stenosis", "herniation", "both"]
GROUPS: Final[tuple[Group, ...]] = get_args(Group)
#: Chen et al. 2022, the diagnoses of their 100 subjects.
GROUP_COUNTS: Final[dict[Group, int]] = {"healthy": 29, "stenosis": 3, "herniation": 42, "both": 26}


@dataclass(frozen=True)
class VertebraSize:
    """One vertebra. Sides are (left, right)."""

    width: float
    depth: float
    anterior_height: float
    posterior_height: float
    pedicle_width: float
    pedicle_height: float
    #: From the posterior wall to where the pedicle meets the articular processes.
    pedicle_length: tuple[float, float]
    canal_width: float
    canal_depth: float
    transverse_span: float
    spinous_length: float
    #: Half-thickness of the superior articular process, front to back.
    superior_process: tuple[float, float]
    #: How far the superior articular process rises above the pedicle's top.
    superior_rise: tuple[float, float]
    #: Half-distance between the middles of the two superior articular processes.
    facet_offset: float
    #: Depth of the endplates' hollow at its middle (above, below).
    endplate_hollow: tuple[float, float] = (1.6, 2.3)
    #: Narrowing of the body at mid-height, share of its half-width.
    waist: float = 0.08


@dataclass(frozen=True)
class DiscSize:
    """One disc: heights between the endplate rims, and what has become of it."""

    anterior_height: float
    posterior_height: float
    bulge: float = 0.5
    #: 0 a young disc with a bright nucleus, 1 a dark, fissured one.
    degeneration: float = 0.2
    #: Herniation: how far it reaches behind the wall (0: none), its left coordinate, and its half-width.
    herniation: float = 0.0
    herniation_left: float = 0.0
    herniation_radius: float = 6.0


@dataclass(frozen=True)
class Anatomy:
    """All that makes one person's lower lumbar spine."""

    group: Group
    sex: Literal["female", "male"]
    age: float
    vertebrae: dict[str, VertebraSize]
    discs: dict[str, DiscSize]
    #: Angle of the L4-L5 disc's plane to the axial plane of the scanner, front down.
    disc_tilt: float
    coronal_tilt: float
    axial_rotation: float
    #: Turns of L5 against L4: about the superior and the anterior axis.
    segment_rotation: float
    segment_tilt: float
    #: L4 slid forward on L5.
    slip: float
    joint_gap: float
    ligamentum_flavum: float
    sac_scale: float
    epidural_fat: float
    subcutaneous_fat: float
    body_width: float
    body_depth: float
    muscle_fat: float

    def as_json(self) -> dict[str, Any]:
        """Plain values for the phantom's record."""
        return asdict(self)


#: Mean adult (both sexes). Widths and depths of the bodies [P]. L5: canal and pedicle width [C], heights between [C]
#: and [P]; the levels above by their trend (pedicle height grows and width falls upwards). Distance of the processes
#: [F]; lengths of the pedicles behind the wall and heights of the superior processes [own], read off sagittal CT of
#: whole columns.
_MEAN: Final[dict[str, VertebraSize]] = {
    L3: VertebraSize(
        46.0, 34.8, 28.6, 28.4, 10.6, 14.8, (8.8, 8.8), 24.3, 16.0, 84.0, 34.0, (4.3, 4.3), (12.0, 12.0), 17.0
    ),
    L4.name: VertebraSize(
        48.0, 35.2, 29.0, 27.6, 12.8, 14.4, (8.2, 8.2), 25.6, 15.8, 82.0, 32.0, (4.4, 4.4), (12.5, 12.5), 18.6
    ),
    L5.name: VertebraSize(
        49.0, 35.0, 29.6, 25.6, 16.1, 13.4, (6.8, 6.8), 28.2, 15.6, 90.0, 25.0, (4.5, 4.5), (13.0, 13.0), 21.0
    ),
    SACRUM: VertebraSize(
        50.0, 33.0, 30.0, 25.0, 18.0, 14.0, (6.2, 6.2), 31.0, 14.5, 90.0, 16.0, (4.6, 4.6), (11.5, 11.5), 24.0
    ),
}
#: Anterior heights [O] for the upper two; L5-S1 [O]; posterior heights [H] and [own].
_DISCS: Final[dict[str, DiscSize]] = {
    DISC_ABOVE: DiscSize(10.0, 7.6),
    DISC.name: DiscSize(12.0, 7.8),
    DISC_BELOW: DiscSize(13.0, 6.4),
}


def sample_anatomy(rng: np.random.Generator, group: Group) -> Anatomy:
    """Draw one person of a diagnosis group.

    Args:
        rng: Source of all variation.
        group: ``healthy``, ``stenosis``, ``herniation`` or ``both``.
    """
    stenosis, herniation = group in ("stenosis", "both"), group in ("herniation", "both")
    sex: Literal["female", "male"] = "male" if rng.random() < 0.5 else "female"
    # Disc disease and stenosis come with age; the healthy volunteers of such studies are young adults [own].
    age = float(np.clip(rng.normal(34 + 14 * herniation + 24 * stenosis, 9), 20, 85))
    wear = float(np.clip((age - 25) / 60 + rng.normal(0, 0.12) + 0.1 * herniation + 0.12 * stenosis, 0, 1))
    # Men's vertebrae are 4 to 11 % larger than women's [C]; the rest varies by about 5 % [C].
    size = (1.03 if sex == "male" else 0.97) * rng.normal(1, 0.03)
    facets = _sides(rng, 1 + 0.10 * wear + 0.24 * stenosis, 0.07)
    pedicles = _sides(rng, 1 - 0.12 * stenosis, 0.09)

    vertebrae = {}
    shared = {name: rng.normal(1, 0.045) for name in ("width", "depth", "height", "canal", "pedicle", "posterior")}
    for name, mean in _MEAN.items():
        vertebrae[name] = _vary(rng, mean, size, shared, facets, pedicles, stenosis)
    discs = {name: _vary_disc(rng, mean, size, wear) for name, mean in _DISCS.items()}
    if herniation:
        discs[DISC.name] = _herniate(rng, discs[DISC.name])
    return Anatomy(
        group=group,
        sex=sex,
        age=age,
        vertebrae=vertebrae,
        discs=discs,
        disc_tilt=float(rng.normal(12, 5)),
        coronal_tilt=float(rng.normal(0, 2.5)),
        axial_rotation=float(rng.normal(0, 2.5)),
        segment_rotation=float(rng.normal(0, 1.2)),
        segment_tilt=float(rng.normal(0, 1.2)),
        slip=float(abs(rng.normal(0, 0.5)) + (rng.random() < 0.25) * stenosis * rng.uniform(0, 2.5)),
        joint_gap=float(np.clip(rng.normal(1.5 - 0.4 * wear, 0.2), 0.8, 2.2)),
        ligamentum_flavum=float(np.clip(rng.normal(3.0 + 0.8 * wear + 1.2 * stenosis, 0.5), 2, 7)),
        sac_scale=float(np.clip(rng.normal(0.92 - 0.2 * stenosis, 0.06), 0.55, 1.05)),
        epidural_fat=float(rng.uniform(0.3, 1.0)),
        subcutaneous_fat=float(np.clip(rng.lognormal(np.log(16), 0.5), 5, 50)),
        body_width=float(np.clip(rng.normal(340, 30), 270, 430)),
        body_depth=float(np.clip(rng.normal(225, 25), 170, 310)),
        muscle_fat=float(np.clip(0.12 + 0.5 * wear + rng.normal(0, 0.1), 0.03, 0.75)),
    )


def _sides(rng: np.random.Generator, mean: float, asymmetry: float) -> tuple[float, float]:
    """A factor for the left and the right side that share most of their variation."""
    shared = rng.normal(mean, 0.05)
    left, right = shared * (1 + asymmetry * rng.normal(size=2) / np.sqrt(2))
    return float(left), float(right)


def _vary(
    rng: np.random.Generator,
    mean: VertebraSize,
    size: float,
    shared: dict[str, float],
    facets: tuple[float, float],
    pedicles: tuple[float, float],
    stenosis: bool,
) -> VertebraSize:
    def own(spread: float = 0.03) -> float:
        return float(size * rng.normal(1, spread))

    narrow = 0.9 if stenosis else 1.0
    height = shared["height"] * own(0.015)
    return replace(
        mean,
        width=mean.width * shared["width"] * own(0.015),
        depth=mean.depth * shared["depth"] * own(0.015),
        anterior_height=mean.anterior_height * height * rng.normal(1, 0.015),
        posterior_height=mean.posterior_height * height * rng.normal(1, 0.015),
        pedicle_width=mean.pedicle_width * shared["pedicle"] * own(0.05),
        pedicle_height=mean.pedicle_height * shared["height"] * own(0.04),
        pedicle_length=(mean.pedicle_length[0] * pedicles[0] * own(), mean.pedicle_length[1] * pedicles[1] * own()),
        canal_width=mean.canal_width * shared["canal"] * own(0.02),
        canal_depth=mean.canal_depth * shared["canal"] * narrow * own(0.03),
        transverse_span=mean.transverse_span * shared["posterior"] * own(0.05),
        spinous_length=mean.spinous_length * shared["posterior"] * own(0.06),
        superior_process=(mean.superior_process[0] * facets[0] * own(), mean.superior_process[1] * facets[1] * own()),
        superior_rise=(
            mean.superior_rise[0] * (0.6 + 0.4 * facets[0]) * own(0.06),
            mean.superior_rise[1] * (0.6 + 0.4 * facets[1]) * own(0.06),
        ),
        facet_offset=mean.facet_offset * shared["canal"] * own(0.03),
        endplate_hollow=(float(rng.uniform(0.8, 2.2)), float(rng.uniform(1.4, 3.0))),
        waist=float(rng.uniform(0.05, 0.11)),
    )


def _vary_disc(rng: np.random.Generator, mean: DiscSize, size: float, wear: float) -> DiscSize:
    worn = float(np.clip(wear + rng.normal(0, 0.15), 0, 1))
    # A worn disc loses up to a third of its height [own], and bulges.
    height = size * rng.normal(1, 0.09) * (1 - 0.33 * worn)
    return replace(
        mean,
        anterior_height=max(4.0, mean.anterior_height * height * rng.normal(1, 0.06)),
        posterior_height=max(3.0, mean.posterior_height * height * rng.normal(1, 0.08)),
        bulge=float(np.clip(0.3 + 1.4 * worn + rng.normal(0, 0.4), 0, 3)),
        degeneration=worn,
    )


def _herniate(rng: np.random.Generator, disc: DiscSize) -> DiscSize:
    """Central, subarticular or foraminal, on either side, in about the order of their frequency [own]."""
    place = rng.choice(3, p=(0.3, 0.5, 0.2))
    side = 1 if rng.random() < 0.5 else -1
    left = (rng.normal(0, 2), side * rng.uniform(5, 11), side * rng.uniform(14, 20))[place]
    return replace(
        disc,
        herniation=float(rng.uniform(3.0, 7.0) * (0.75 if place == 2 else 1)),
        herniation_left=float(left),
        herniation_radius=float(rng.uniform(4.5, 8.0)),
        degeneration=float(np.clip(disc.degeneration + 0.25, 0, 1)),
    )
