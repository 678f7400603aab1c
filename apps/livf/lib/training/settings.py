"""How far training cases are varied. Apart from what varies them, so that a preset brings no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Augmentation:
    """How far a case is varied. Standard deviations unless said otherwise; shares are probabilities.

    Attributes:
        turn_degrees: Rotation about each axis.
        shift_mm: Translation along each axis, uniform within plus or minus.
        scale: Relative size, standard deviation.
        mirror: Share of cases mirrored left to right (the structures lie on the midline, so labels stay).
        contrast: Strength of the random tone curve.
        shading: Strength of the smooth multiplicative field.
        noise: Largest standard deviation of added noise, in units of the image's own.
        blur_voxels: Largest standard deviation of the blur.
        thick_share: Share of cases seen as a stack of thick slices along a random axis.
        thick_mm: Thickest slice.
        crop_share: Share of cases that lose slices at the ends of an axis.
    """

    turn_degrees: float = 5.0
    shift_mm: float = 9.0
    scale: float = 0.05
    mirror: float = 0.5
    contrast: float = 0.25
    shading: float = 0.25
    noise: float = 0.25
    blur_voxels: float = 0.8
    thick_share: float = 0.25
    thick_mm: float = 4.5
    crop_share: float = 0.35
