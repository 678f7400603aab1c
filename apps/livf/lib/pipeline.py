"""The one way of a case from file to file: read, segment, write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from livf.lib.anatomy import TRAINED, VERTEBRAE
from livf.lib.errors import InputError
from livf.lib.images import PROBABILITY_SUFFIXES, check_target, read_image, write_label, write_probabilities
from livf.lib.segmentation.postprocess import MISSING_STRUCTURE, WRONG_LEVEL_ORDER
from livf.lib.values import LevelStatus, Segmentation, voxel_volume

if TYPE_CHECKING:
    from livf.lib.segmentation import Segmenter

Progress = Callable[[str, float], None]

#: Formats a picture is written in.
PICTURE_SUFFIXES: Final = (".png",)


def check_outputs(label: Path, probabilities: Path | None = None, picture: Path | None = None) -> None:
    """Find out before the work that a result could not be written.

    Raises:
        UsageError: A suffix names no format that is written.
        OutputError: A folder is missing or may not be written to.
    """
    check_target(label)
    if probabilities is not None:
        check_target(probabilities, PROBABILITY_SUFFIXES)
    if picture is not None:
        check_target(picture, PICTURE_SUFFIXES)


def segment_file(
    image: Path,
    label: Path,
    segmenter: Segmenter,
    *,
    level_at: tuple[float, float, float] | None = None,
    probabilities: Path | None = None,
    picture: Path | None = None,
    progress: Progress | None = None,
) -> Segmentation:
    """Segment one image file, or the folder of a DICOM series, into a label file.

    Args:
        image: NIfTI, NRRD, MetaImage, or a DICOM series folder.
        label: Where the label goes; the suffix tells the format.
        segmenter: The network.
        level_at: A point in the L4-L5 disc, RAS+ mm; None: see :class:`~livf.lib.segmentation.segmenter.Segmenter`.
        probabilities: Where class probabilities go (NIfTI, 4D), if they are wanted.
        picture: Where a picture of the slices through the disc goes (PNG), if it is wanted.
        progress: Told what is being done, and the share of the work done.

    Raises:
        LivfError: Something cannot be read, segmented or written. Nothing half-written is left.
        InputError: Among these: what was found is no lumbar level.
    """
    check_outputs(label, probabilities, picture)
    tell = progress or (lambda stage, share: None)
    tell("read", 0.0)
    volume = read_image(image)
    # Reading and writing take about a tenth of the time each way.
    result = segmenter(
        volume,
        level_at=level_at,
        probabilities=probabilities is not None,
        progress=lambda stage, share: tell(stage, 0.05 + 0.9 * share),
    )
    _refuse_nonsense(result, image)
    tell("write", 0.95)
    if result.probabilities is not None and probabilities is not None:
        write_probabilities(probabilities, result.probabilities, result.affine)
    if picture is not None:
        from livf.lib.export.overview import write_overview

        write_overview(picture, volume, result.label)
    write_label(label, result.label, result.affine)
    tell("done", 1.0)
    return result


#: Less bone than this is no vertebra, ml: adults have 50 to 90 ml in each.
_LEAST_BONE_ML: Final = 5.0


def _refuse_nonsense(result: Segmentation, image: Path) -> None:
    """Refuse what cannot be a lumbar level: an image of something else, or one that does not show it."""
    bone = sum(int(np.count_nonzero(result.label == structure.value)) for structure in VERTEBRAE)
    bone_ml = bone * voxel_volume(result.affine) / 1000
    if bone_ml < _LEAST_BONE_ML or WRONG_LEVEL_ORDER in result.warnings:
        raise InputError(
            "no L4-L5 level was found in it",
            image,
            "give a T2 MRI of the lumbar spine, or a point in the disc (level-at)",
        )


#: What a level status means to a reader.
_STATUS: Final[dict[LevelStatus, str]] = {
    "found": "found in the image",
    "given": "at the point that was given",
    "assumed": "assumed: the field of view is taken to be centred on L4-L5",
    "unclear": "unclear: the field of view shows several levels, check which were segmented",
}
#: What a warning means to a reader.
_WARNINGS: Final = {
    MISSING_STRUCTURE: "a structure was not found",
    WRONG_LEVEL_ORDER: "L4 does not lie above L5",
}


def summary(result: Segmentation) -> tuple[str, ...]:
    """A segmentation in a few lines: volume of each structure, how sure the level is, warnings."""
    counts = np.bincount(result.label.ravel(), minlength=1 + max(structure.value for structure in TRAINED))
    voxel_ml = voxel_volume(result.affine) / 1000
    lines = [f"{s.title:<12} {counts[s.value] * voxel_ml:6.1f} ml" for s in TRAINED]
    lines.append(f"level    {_STATUS[result.level_status]}")
    lines += [f"warning  {_WARNINGS.get(reason, reason)} ({reason})" for reason in result.warnings]
    return tuple(lines)
