"""The measurement document ``livf.measurement/1``: what every client and later version of livf reads.

No time stamps: the same input gives the same bytes. A refused side has its status and reasons only, never a number.
Keys may be added, never renamed; ``measurement.schema.json`` beside this file is the contract.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from livf.lib.foramen import SIDES, ForamenMeasurement, Measurement
from livf.lib.storage import write_text
from livf.lib.values import Affine

SCHEMA: Final = "livf.measurement/1"
LEVEL: Final = "L4-L5"
#: Digits kept: a hundredth of a millimetre is far below what any image shows.
_DIGITS: Final = 3


@dataclass(frozen=True)
class Source:
    """What was measured, and by what.

    Attributes:
        livf: Version of livf.
        image: Name of the image, or of the label when no image was given.
        label_sha256: See :func:`label_hash`.
        model: Version of the network that made the label; None for a label drawn or corrected by hand.
    """

    livf: str
    image: str
    label_sha256: str
    model: str | None = None


def label_hash(label: npt.NDArray[np.generic], affine: Affine) -> str:
    """SHA-256 of a label and its grid, whatever file it came from: values as uint8, shape, affine to 1e-4 mm."""
    digest = hashlib.sha256()
    digest.update(json.dumps(label.shape).encode())
    digest.update(np.round(affine, 4).astype("<f8").tobytes())
    digest.update(np.ascontiguousarray(label, dtype=np.uint8).tobytes())
    return digest.hexdigest()


def document(measurement: Measurement, case: str, source: Source) -> dict[str, Any]:
    """A measurement as plain values, ready for JSON.

    Args:
        measurement: Of one level.
        case: Name of the case.
        source: What was measured, and by what.
    """
    frame, disc = measurement.frame, measurement.disc_height_mm
    content: dict[str, Any] = _rounded(
        {
            "schema": SCHEMA,
            "case": case,
            "level": LEVEL,
            "level_status": measurement.level_status,
            "source": {
                "livf": source.livf,
                "image": source.image,
                "label_sha256": source.label_sha256,
                "model": source.model,
            },
            "frame": None
            if frame is None
            else {
                "origin_ras_mm": frame.origin.tolist(),
                "left": frame.left.tolist(),
                "anterior": frame.anterior.tolist(),
                "superior": frame.superior.tolist(),
            },
            "foramina": {side: _foramen(measurement.foramina[side]) for side in SIDES},
            "disc_height_mm": None
            if disc is None
            else {"anterior": disc.anterior, "middle": disc.middle, "posterior": disc.posterior},
            "left_minus_right": dict(measurement.differences),
            "warnings": list(measurement.warnings),
        }
    )
    return content


def write_document(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write a document as JSON, whole or not at all."""
    write_text(path, to_json(content))


def to_json(content: dict[str, Any]) -> str:
    """A document as text: keys in the order of the contract, a newline at the end."""
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def schema() -> dict[str, Any]:
    """The JSON Schema of the document."""
    text = files("livf.lib.export").joinpath("measurement.schema.json").read_text(encoding="utf-8")
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def _foramen(side: ForamenMeasurement) -> dict[str, Any]:
    numbers, plasty = side.numbers, side.foraminoplasty
    if numbers is None or side.outline is None:
        return {"status": side.status, "reasons": list(side.reasons)}
    return {
        "status": side.status,
        "reasons": list(side.reasons),
        "area_mm2": numbers.area_mm2,
        "height_mm": numbers.height_mm,
        "width_mm": numbers.width_mm,
        "min_width_mm": numbers.min_width_mm,
        "min_width_bounded_by": numbers.min_width_bounded_by,
        "widths_mm": dict(numbers.widths_mm),
        "section_area_mm2": numbers.section_area_mm2,
        "channel_diameter_mm": numbers.channel_diameter_mm,
        "closed_gap_mm": numbers.closed_gap_mm,
        "slab_mm": list(numbers.slab_mm),
        "sd": dict(side.sd),
        "foraminoplasty": None
        if plasty is None
        else {
            "height_le_15_mm": plasty.height_le_15_mm,
            "width_le_8_mm": plasty.width_le_8_mm,
            "criteria_met": plasty.criteria_met,
            "height_distance_mm": plasty.height_distance_mm,
            "width_distance_mm": plasty.width_distance_mm,
        },
        "outline_ras_mm": side.outline.ras.tolist(),
        "landmarks_ras_mm": {name: list(point) for name, point in side.landmarks_ras_mm.items()},
    }


def _rounded(value: Any) -> Any:
    """Plain values with floats rounded: bytes do not depend on the last bit of a sum."""
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(entry) for entry in value]
    if isinstance(value, (float, np.floating)):
        return round(float(value), _DIGITS) + 0.0
    return value
