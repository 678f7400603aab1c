"""The people whose bones training images are made from: which files, which numbers, which licence, who is held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from livf.lib.anatomy import L4, L5
from livf.lib.synthesis.columns.column import Kind

#: Levels from the top down. VerSe numbers vertebrae from C1 = 1: the first here is T9 = 16.
LEVELS: Final = ("T9", "T10", "T11", "T12", "L1", "L2", "L3", L4.name, L5.name)
_FIRST_NUMBER: Final = 16
SACRUM: Final = "sacrum"
#: The first sacral body, a part of the sacrum: its end plate bounds the lowest disc.
S1: Final = "S1"
HIPS: Final = ("hip left", "hip right")
SAC: Final = "thecal sac"

_VERSE_NUMBERS: Final[Mapping[int, str]] = MappingProxyType(
    {_FIRST_NUMBER + place: level for place, level in enumerate(LEVELS)}
)
#: The column masks keep VerSe's numbers and add the sacrum (26, with its first body apart as 27) and the hip bones.
_COLUMN_NUMBERS: Final[Mapping[int, str]] = MappingProxyType(
    {**_VERSE_NUMBERS, 26: SACRUM, 27: S1, 30: HIPS[0], 31: HIPS[1]}
)

_VERSE: Final = "VerSe (doi.org/10.1016/j.media.2021.102166), CC BY-SA 4.0"
_TOTALSEGMENTATOR: Final = "TotalSegmentator CT data set version 2 (doi.org/10.5281/zenodo.10047292), CC BY 4.0"
_REMUS: Final = "Remus, finite-element model of L4-L5 of the Visible Human, BSD-3-Clause"

#: Axes of a mesh file as RAS: for each of R, A, S the file's axis and its sign.
Axes = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
RAS: Final[Axes] = ((0, 1), (1, 1), (2, 1))
#: x anterior, y left, z superior.
ALS: Final[Axes] = ((1, -1), (0, 1), (2, 1))


@dataclass(frozen=True)
class Source:
    """One person's files.

    Attributes:
        name: Of the person.
        origin: Data set and licence, for the model card.
        held_out: Whether the person is kept out of training, to measure on.
        mask: Label image, or empty where the bones are meshes.
        numbers: Label number to the part's name.
        meshes: Part's name to its STL file, for people without a mask.
        axes: Of the meshes.
        ct: The CT of the mask, on the same grid; empty where there is none.
    """

    name: str
    origin: str
    held_out: bool = False
    mask: str = ""
    numbers: Mapping[int, str] = field(default_factory=dict)
    meshes: Mapping[str, str] = field(default_factory=dict)
    axes: Axes = RAS
    ct: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Every file it needs."""
        return tuple(name for name in (self.mask, *self.meshes.values(), self.ct) if name)


def kind_of(name: str) -> Kind:
    """What the bone of this name is."""
    if name == SACRUM:
        return Kind.SACRUM
    return Kind.HIP if name in HIPS else Kind.VERTEBRA


def disc_name(upper: str, lower: str) -> str:
    """Name of the disc between two bones; the disc above the sacrum is named after the sacrum's first body."""
    return f"{upper}-{S1 if lower == SACRUM else lower}"


def _verse(name: str, *, ct: bool = False, held_out: bool = False) -> Source:
    return Source(
        name, _VERSE, held_out, mask=f"{name}_mask.nii.gz", numbers=_VERSE_NUMBERS, ct=f"{name}_ct.nii.gz" if ct else ""
    )


def _verse_meshes(name: str) -> Source:
    return Source(name, _VERSE, meshes={level: f"{name}_{level}.stl" for level in LEVELS[LEVELS.index("L1") :]})


def _column(name: str, *, held_out: bool = False) -> Source:
    return Source(name, _TOTALSEGMENTATOR, held_out, mask=f"{name}_mask.nii.gz", numbers=_COLUMN_NUMBERS)


#: Everyone. Held out beside VerSe 008 and Remus is TotalSegmentator's "x": it alone has no hip bones, so training keeps
#: both columns that show them, and it is the smallest of the three, so that it asks for more than interpolation.
SOURCES: Final[tuple[Source, ...]] = (
    _verse("verse005", ct=True),
    _verse("verse004"),
    _verse("verse006", ct=True),
    _verse("verse007"),
    _verse("verse008", ct=True, held_out=True),
    _verse("verse012"),
    _verse_meshes("versep001"),
    _verse_meshes("versep002"),
    _column("totalseg_s0327"),
    _column("totalseg_s0328"),
    _column("totalseg_x", held_out=True),
    Source(
        "remus",
        _REMUS,
        held_out=True,
        meshes={
            L4.name: "remus_L4.stl",
            disc_name(L4.name, L5.name): "remus_disc_L4-5.stl",
            L5.name: "remus_L5.stl",
        },
        axes=ALS,
    ),
)
