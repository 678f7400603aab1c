"""The infer task ``livf_segmentation``: L4, the L4-5 disc and L5 on a lumbar MRI."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from livf.lib.anatomy import TRAINED
from livf.lib.errors import LivfError, UsageError
from livf.lib.images import read_image, write_label
from livf.lib.server.datastore.labels import names_in
from livf.lib.server.engine import Engine
from livf.lib.server.naming import at, storing
from livf.lib.values import Segmentation, voxel_volume

#: Suffixes a client may ask the result in.
RESULT_SUFFIXES: Final = (".nii.gz", ".nii", ".nrrd", ".mha")


class SegmentationTask(InferTask):  # type: ignore[misc]  # monailabel has no types
    """Segments one image.

    Args:
        engine: The network.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(
            type=InferType.SEGMENTATION,
            labels={structure.name: structure.value for structure in TRAINED},
            dimension=3,
            description="L4, L4-L5 disc and L5 on lumbar MRI (3D U-Net). Research use, not a medical device.",
        )
        self._engine = engine

    def is_valid(self) -> bool:
        """Whether the task can be offered: always, since a server without its network does not start."""
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Segment ``request["image"]``.

        Args:
            request: ``image`` (a path), ``image_name`` (what a message calls it), and of what a client sends
                ``level_at`` (a point in the L4-L5 disc, RAS+ mm) and ``result_extension``. Clients echo every key of
                a task's ``config`` and add more; other keys mean nothing here.

        Returns:
            A fresh label file, which the caller deletes, and what is known about the result.

        Raises:
            LivfError: The image cannot be read or segmented, or a parameter means nothing.
        """
        name = str(request.get("image_name") or Path(request["image"]).name)
        suffix = result_suffix(request.get("result_extension"))
        level_at = point_of(request.get("level_at"))
        started = time.monotonic()
        with at(name):
            volume = read_image(Path(request["image"]))
            segmentation = self._engine.segment(volume, level_at)
        with storing("the result"):
            handle, path = tempfile.mkstemp(prefix="livf-result-", suffix=suffix)
            os.close(handle)
            try:
                write_label(Path(path), segmentation.label, segmentation.affine)
            except LivfError:
                Path(path).unlink(missing_ok=True)
                raise
        return path, describe(segmentation, time.monotonic() - started)


def describe(segmentation: Segmentation, seconds: float) -> dict[str, Any]:
    """What a client is told beside the label.

    ``label_names`` has only the structures that are in the label: 3D Slicer gives the names to the values it finds by
    their order, so a name without voxels would move every later name to the wrong structure.
    """
    counts = np.bincount(segmentation.label.ravel(), minlength=1 + max(s.value for s in TRAINED))
    voxel_ml = voxel_volume(segmentation.affine) / 1000
    return {
        "label_names": names_in(segmentation.label),
        "level_status": segmentation.level_status,
        "model": segmentation.model,
        "warnings": list(segmentation.warnings),
        "volumes_ml": {s.name: round(float(counts[s.value]) * voxel_ml, 3) for s in TRAINED},
        "latencies": {"total": round(seconds, 3)},
    }


def result_suffix(asked: object) -> str:
    """The suffix a client asks the label in.

    Raises:
        UsageError: It is none of :data:`RESULT_SUFFIXES`.
    """
    if not asked:
        return RESULT_SUFFIXES[0]
    if asked not in RESULT_SUFFIXES:
        raise UsageError(
            f"a label cannot be written as {asked!r}", "result_extension", f"give one of {', '.join(RESULT_SUFFIXES)}"
        )
    return str(asked)


def point_of(given: object) -> tuple[float, float, float] | None:
    """Parse ``level_at``: three numbers, as a list or as ``"R,A,S"``; None where it is not given.

    Raises:
        UsageError: It is something else.
    """
    if given is None or given == "":
        return None
    parts = given.split(",") if isinstance(given, str) else given
    try:
        r, a, s = (float(part) for part in parts)  # type: ignore[attr-defined]  # anything else is refused below
        if not np.isfinite((r, a, s)).all():
            raise ValueError
    except (TypeError, ValueError):
        raise UsageError(
            "is not a point", "level_at", "give three numbers R,A,S in mm, a point in the L4-L5 disc"
        ) from None
    return r, a, s
