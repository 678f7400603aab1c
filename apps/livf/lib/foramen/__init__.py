"""The foramen: reconstructed in 3D from a label and measured, or refused with a reason."""

from livf.lib.foramen.engine import measure
from livf.lib.foramen.reasons import SENTENCES
from livf.lib.foramen.result import (
    PARTS,
    SIDES,
    DiscHeight,
    ForamenMeasurement,
    Foraminoplasty,
    Frame,
    LateralView,
    Measurement,
    Numbers,
    Outline,
    Section,
    Segment,
    Side,
    Solid,
)

__all__ = [
    "PARTS",
    "SENTENCES",
    "SIDES",
    "DiscHeight",
    "ForamenMeasurement",
    "Foraminoplasty",
    "Frame",
    "LateralView",
    "Measurement",
    "Numbers",
    "Outline",
    "Section",
    "Segment",
    "Side",
    "Solid",
    "measure",
]
