"""Other groups' label numbers, and how they become ours.

One table a tool or data set, each number taken from that group's own documentation (:attr:`Numbering.source`). A number
that the table does not name becomes background: these label maps hold the whole spine, ours one level.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from livf.lib.anatomy import BACKGROUND, BY_NAME, DISC, L4, L5, STRUCTURES, TRAINED, Structure
from livf.lib.errors import UsageError

_REMEDY: Final = (
    f"write {L4.name}=NUMBER,{DISC.name}=NUMBER,{L5.name}=NUMBER with the label's own numbers, "
    "or the name of a numbering"
)
#: Largest number a label map is looked up by; no tool here goes beyond some hundreds.
_LARGEST: Final = np.iinfo(np.uint16).max


@dataclass(frozen=True)
class Numbering:
    """What the numbers of a label map mean.

    Attributes:
        name: By which it is asked for.
        title: Whose it is, for a reader.
        numbers: Their numbers of each of our structures, in the order of the anatomy table. A structure may have
            several; one that the tool does not segment has none.
        partial: Numbers that stand for a vertebra cut by the image's border, as ``numbers``.
        beyond: Their numbers of neighbours, by the neighbour's name, for checks of the level: the vertebra above L4
            (``L3``), a sixth lumbar vertebra (``L6``), the sacrum (``sacrum``), the disc below L5 (``disc_L5_S1``).
        plates: Their numbers of end plates, which belong to whichever vertebra is nearest, not to one by number.
        known: Every number that may occur, ours and others; empty where any may.
        source: Address of the documentation.
        licence: Of the data or the tool.
    """

    name: str
    title: str
    numbers: Mapping[str, tuple[int, ...]]
    partial: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    beyond: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    plates: tuple[int, ...] = ()
    known: frozenset[int] = frozenset()
    source: str = ""
    licence: str = ""

    @property
    def structures(self) -> tuple[Structure, ...]:
        """Our structures that this numbering can hold."""
        return tuple(structure for structure in TRAINED if self.numbers.get(structure.name))

    @property
    def is_ours(self) -> bool:
        """Whether every number is already ours."""
        return all(self.numbers.get(structure.name) == (structure.value,) for structure in TRAINED)

    def to_ours(self, label: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
        """The label in our numbers. What the numbering does not name becomes background.

        Args:
            label: Whole numbers, any shape.
        """
        table = np.full(_LARGEST + 1, BACKGROUND, dtype=np.uint8)
        for structure in self.structures:
            table[list(self.numbers[structure.name])] = structure.value
        if label.dtype == np.uint8:
            return np.asarray(table[: np.iinfo(np.uint8).max + 1][label])
        numbers = label.astype(np.int64)
        return np.asarray(table[np.where((numbers >= 0) & (numbers <= _LARGEST), numbers, 0)])


def _numbering(
    name: str,
    title: str,
    numbers: tuple[int | None, int | None, int | None],
    *,
    partial: Mapping[str, tuple[int, ...]] | None = None,
    beyond: Mapping[str, tuple[int, ...]] | None = None,
    source: str,
    licence: str,
) -> Numbering:
    named = {
        structure.name: () if number is None else (number,) for structure, number in zip(TRAINED, numbers, strict=True)
    }
    return Numbering(
        name,
        title,
        MappingProxyType(named),
        MappingProxyType(dict(partial or {})),
        MappingProxyType(dict(beyond or {})),
        source=source,
        licence=licence,
    )


SPIDER: Final = _numbering(
    "spider",
    "SPIDER (vertebrae from L5 = 1 upwards, discs from L5-S1 = 201 upwards)",
    (2, 202, 1),
    partial={L4.name: (102,), L5.name: (101,)},
    beyond={"L3": (3,), "disc_L5_S1": (201,)},
    source="https://doi.org/10.5281/zenodo.10159290; https://grand-challenge.org/algorithms/spider-baseline-iis/",
    licence="CC BY 4.0",
)
MRSPINESEG: Final = _numbering(
    "mrspineseg",
    "MRSpineSeg challenge (S = 1, L5 = 2, L4 = 3; discs L5/S = 11, L4/L5 = 12)",
    (3, 12, 2),
    beyond={"L3": (4,), "sacrum": (1,), "disc_L5_S1": (11,)},
    source="https://www.spinesegmentation-challenge.com/?page_id=1162",
    licence="data use agreement of Southern Medical University, research only",
)
TOTALSPINESEG: Final = _numbering(
    "totalspineseg",
    "TotalSpineSeg, step2_output",
    (44, 95, 45),
    beyond={"L3": (43,), "L6": (46,), "sacrum": (50,), "disc_L5_S1": (100,)},
    source="https://github.com/neuropoly/totalspineseg#list-of-classes",
    licence="LGPL-3.0 (tool)",
)
TOTALSPINESEG_2024: Final = _numbering(
    "totalspineseg-2024",
    "TotalSpineSeg, first releases (2024)",
    (19, 203, 18),
    beyond={"L3": (20,), "sacrum": (92,), "disc_L5_S1": (202,)},
    source="https://github.com/neuropoly/totalspineseg (README at commit 0284d94)",
    licence="LGPL-3.0 (tool)",
)
#: 200 + X are both end plates of the disc below X, so of two vertebrae (``add_ivd_ep_vert_label`` in its source).
SPINEPS: Final = replace(
    _numbering(
        "spineps",
        "SPINEPS, the vertebra mask (seg-vert): VerSe's numbers, 100 more for the disc below",
        (23, 123, 24),
        beyond={"L3": (22,), "L6": (25,), "sacrum": (26,), "disc_L5_S1": (124,)},
        source="https://github.com/Hendrik-code/spineps#labels",
        licence="Apache-2.0 (tool)",
    ),
    plates=(222, 223, 224),
)
TOTALSEGMENTATOR: Final = _numbering(
    "totalsegmentator",
    "TotalSegmentator version 2, task total (no disc)",
    (28, None, 27),
    beyond={"L3": (29,), "sacrum": (25, 26)},
    source="https://github.com/wasserth/TotalSegmentator#class-details",
    licence="Apache-2.0 (tool)",
)
TOTALSEGMENTATOR_MR: Final = _numbering(
    "totalsegmentator-mr",
    "TotalSegmentator version 2, task vertebrae_mr (no disc)",
    (3, None, 2),
    beyond={"L3": (4,), "sacrum": (1,)},
    source="https://github.com/wasserth/TotalSegmentator/blob/master/totalsegmentator/map_to_binary.py",
    licence="Apache-2.0 (tool)",
)
NNUNET: Final = _numbering(
    "nnunet",
    "a data set exported by livf, or a prediction of a network trained on one",
    (L4.value, DISC.value, L5.value),
    source="https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md",
    licence="Apache-2.0 (tool)",
)
#: Foramina are for display only: a label may hold them, and they become background.
OURS: Final = replace(
    _numbering("livf", "livf", (L4.value, DISC.value, L5.value), source="", licence=""),
    known=frozenset(structure.value for structure in STRUCTURES),
)

#: Every preset, by name.
NUMBERINGS: Final[Mapping[str, Numbering]] = MappingProxyType(
    {
        numbering.name: numbering
        for numbering in (
            OURS, SPIDER, MRSPINESEG, TOTALSPINESEG, TOTALSPINESEG_2024, SPINEPS, TOTALSEGMENTATOR,
            TOTALSEGMENTATOR_MR, NNUNET,
        )
    }
)  # fmt: skip


def structure_named(name: str) -> Structure | None:
    """Our structure by any of the names in use for it (``vertebrae_L4``, ``L4 vertebra``, ``disc_L4_L5``, ``L4/5``)."""
    if name in BY_NAME:
        return BY_NAME[name] if BY_NAME[name].trained else None
    words = re.sub(r"[^a-z0-9]+", " ", name.casefold()).split()
    plain = [word for word in words if word not in _KINDS]
    kinds = {_KINDS[word] for word in words if word in _KINDS}
    for structure, spellings in _SPELLINGS.items():
        if " ".join(plain) in spellings and kinds <= {"disc" if structure == DISC.name else "vertebra"}:
            return BY_NAME[structure]
    return None


_KINDS: Final = {
    **dict.fromkeys(("vertebra", "vertebrae", "vert", "bone"), "vertebra"),
    **dict.fromkeys(("disc", "disk", "ivd", "intervertebral", "discs"), "disc"),
}
_SPELLINGS: Final = {
    L4.name: {"l4"},
    DISC.name: {"l4 l5", "l4 5", "l45", "l4l5"},
    L5.name: {"l5"},
}


def numbering_of(names: Mapping[str, Any], *, name: str = "given", where: str = "") -> Numbering:
    """The numbering that a mapping of names to numbers describes, such as ``labels`` of nnU-Net's ``dataset.json``.

    Args:
        names: A structure's name to its number, or to a list of numbers. Names that are not of ours are passed over.
        name: Of the numbering.
        where: What holds the mapping, for messages.

    Raises:
        UsageError: None of our structures is named, a number is not one, or two structures share one.
    """
    found: dict[str, tuple[int, ...]] = {structure.name: () for structure in TRAINED}
    known: set[int] = set()
    for title, value in names.items():
        structure = structure_named(str(title))
        numbers = tuple(value) if isinstance(value, list | tuple) else (value,)
        known |= {number for number in numbers if _is_number(number)}
        if structure is None:
            continue
        if not numbers or not all(_is_number(number) for number in numbers):
            raise UsageError(f"{title} has no whole number from 1 to {_LARGEST} ({value!r})", where, _REMEDY)
        found[structure.name] += tuple(int(number) for number in numbers)
    _distinct(found.values(), where)
    if not any(found.values()):
        raise UsageError("names none of the structures", where, _REMEDY)
    return Numbering(name, name, MappingProxyType(found), known=frozenset(known))


def parse_labels(text: str) -> Numbering:
    """The numbering an option means: a preset's name, ``L4=23,disc_L4_5=123,L5=24``, or the same as a JSON object.

    A structure that is not named is one the labels do not hold.

    Raises:
        UsageError: It is none of these.
    """
    text = text.strip()
    if text in NUMBERINGS:
        return NUMBERINGS[text]
    where = f"labels {text[:60]!r}"
    if text.startswith("{"):
        try:
            names = json.loads(text)
        except ValueError as error:
            raise UsageError("is not JSON", where, _REMEDY) from error
    elif "=" in text:
        names = dict(part.partition("=")[::2] for part in text.split(","))
        names = {key.strip(): value.strip() for key, value in names.items()}
        names = {key: int(value) if value.isascii() and value.isdigit() else value for key, value in names.items()}
    else:
        raise UsageError("is not a numbering", where, f"{_REMEDY}: {', '.join(NUMBERINGS)}")
    if not isinstance(names, dict):
        raise UsageError("is not a mapping", where, _REMEDY)
    for key in names:
        if structure_named(str(key)) is None:
            raise UsageError(f"{key!r} is not a structure", where, _REMEDY)
    return numbering_of(names, where=where)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST


def _distinct(groups: Iterable[tuple[int, ...]], where: str) -> None:
    numbers = [number for group in groups for number in group]
    if shared := {number for number in numbers if numbers.count(number) > 1}:
        raise UsageError(f"gives {min(shared)} to two structures", where, _REMEDY)
