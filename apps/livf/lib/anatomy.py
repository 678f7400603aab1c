"""The one table of structures: label values, names, colours and codes.

No other module writes a label value, a structure's name or its colour; a test checks it.
Codes are SNOMED CT, as DICOM lists them in CID 7603 (vertebrae) and CID 7604 (discs). Colours are those of 3D Slicer's
generic anatomy table where it has the structure, so that a reader meets what he knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Structure:
    """One labelled structure.

    Attributes:
        value: The voxel value in a label.
        name: The name clients show, and by which a saved label is mapped back.
        title: How it is written for a reader.
        rgb: Recommended colour, 0 to 255.
        snomed: SNOMED CT code and DICOM's meaning for it; None where DICOM lists none.
        trained: Whether the network is trained on it (foramina are for display only).
    """

    value: int
    name: str
    title: str
    rgb: tuple[int, int, int]
    snomed: tuple[str, str] | None
    trained: bool = True


BACKGROUND: Final = 0
L4: Final = Structure(1, "L4", "L4 vertebra", (241, 214, 145), ("11994002", "L4 vertebra"))
DISC: Final = Structure(2, "disc_L4_5", "L4-L5 disc", (111, 184, 210), ("84020006", "L4/L5 disc"))
L5: Final = Structure(3, "L5", "L5 vertebra", (216, 101, 79), ("49668003", "L5 vertebra"))
FORAMEN_LEFT: Final = Structure(4, "foramen_left", "Left L4-L5 foramen", (144, 238, 144), None, trained=False)
FORAMEN_RIGHT: Final = Structure(5, "foramen_right", "Right L4-L5 foramen", (192, 104, 220), None, trained=False)

STRUCTURES: Final[tuple[Structure, ...]] = (L4, DISC, L5, FORAMEN_LEFT, FORAMEN_RIGHT)
#: What the network segments, in the order of its output channels after the background.
TRAINED: Final[tuple[Structure, ...]] = tuple(s for s in STRUCTURES if s.trained)
#: Channels of the network's output: the background and each trained structure.
CHANNELS: Final = 1 + len(TRAINED)
VERTEBRAE: Final[tuple[Structure, ...]] = (L4, L5)
BY_NAME: Final[dict[str, Structure]] = {s.name: s for s in STRUCTURES}
BY_VALUE: Final[dict[int, Structure]] = {s.value: s for s in STRUCTURES}


@dataclass(frozen=True)
class Kind:
    """One kind of tissue that the localiser tells apart, whatever the level.

    Attributes:
        value: The voxel value in a localiser's label.
        name: How code and files call it.
    """

    value: int
    name: str


ANY_BODY: Final = Kind(1, "body")
ANY_ARCH: Final = Kind(2, "posterior_elements")
ANY_DISC: Final = Kind(3, "disc")
SACRUM: Final = Kind(4, "sacrum")
CANAL: Final = Kind(5, "canal")
#: What the localiser segments, in the order of its output channels after the background.
KINDS: Final[tuple[Kind, ...]] = (ANY_BODY, ANY_ARCH, ANY_DISC, SACRUM, CANAL)
#: Vertebrae that can be counted up from the sacrum, from the lowest.
LUMBAR_UPWARDS: Final = ("L5", "L4", "L3", "L2", "L1")
