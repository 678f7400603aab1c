"""The infer task ``livf_foramen``: both foramina of an image's label, measured or refused with a reason."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from livf.lib.anatomy import DISC, STRUCTURES
from livf.lib.errors import LivfError, UsageError
from livf.lib.export.display import with_foramina
from livf.lib.export.document import Source, document, label_hash
from livf.lib.export.markups import write_markups
from livf.lib.foramen import SIDES, ForamenMeasurement, Measurement, measure
from livf.lib.images import IMAGE_SUFFIXES, read_image, read_label, suffix_of, write_label
from livf.lib.server.datastore.labels import names_in, refuse_other_grid
from livf.lib.server.engine import Engine
from livf.lib.server.naming import at, storing
from livf.lib.server.tasks.segmentation import point_of, result_suffix
from livf.lib.values import Segmentation, Volume
from livf.version import __version__

logger = logging.getLogger(__name__)

#: What the result file can be: the label with both foramina, or markups of 3D Slicer.
RESULTS: Final = ("label", "markups")
#: The numbers whose change by a correction is told.
_COMPARED: Final = (
    "area_mm2",
    "height_mm",
    "width_mm",
    "min_width_mm",
    "section_area_mm2",
    "channel_diameter_mm",
)
#: Digits of them, as in the document.
_DIGITS: Final = 3


class ForamenTask(InferTask):  # type: ignore[misc]  # monailabel has no types
    """Measures one image's label.

    Args:
        engine: The network, for images that no annotator has saved a label of.
        datastore: Gives the server's images and labels; called for each request.
    """

    def __init__(self, engine: Engine, datastore: Callable[[], Datastore]) -> None:
        super().__init__(
            type=InferType.SEGMENTATION,
            labels={structure.name: structure.value for structure in STRUCTURES},
            dimension=3,
            description="Both L4-L5 foramina, measured on the saved final label, else on the network's. Research use, "
            "not a medical device.",
            config={"result": list(RESULTS)},
        )
        self._engine = engine
        self._datastore = datastore

    def is_valid(self) -> bool:
        """Whether the task can be offered: always, since a server without its network does not start."""
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Measure the label of ``request["image"]``.

        The label is the final one if an annotator saved one: saving it as final says that its level is L4-L5, so it
        is measured as ``given``, also where the network had left the level ``unclear``. Otherwise the network makes
        one, and an ``unclear`` level is refused unless ``level_at`` gives it.

        Args:
            request: ``image`` (a path), ``image_name`` (its id; of a received file, its name), and of what a client
                sends ``level_at`` (a point in the L4-L5 disc, RAS+ mm; for the network only), ``result`` (of
                :data:`RESULTS`) and ``result_extension``. Other keys mean nothing here.

        Returns:
            A fresh file, which the caller deletes: the label with the two foramina as segments, or with ``result``
            ``markups`` their outlines and lines (the label where no side is measured: there is nothing to mark). And
            under ``measurement`` the document ``livf.measurement/1``. ``label_names`` has only what is in the file.
            Where the datastore has the network's own label of a corrected image, ``change_from_model`` has for each
            side how far each number moved (final minus original; only numbers that both labels have).

        Raises:
            LivfError: The image or label cannot be read, the image cannot be segmented, or a parameter means nothing.
        """
        path, name = Path(request["image"]), str(request.get("image_name") or Path(request["image"]).name)
        suffix, level_at = result_suffix(request.get("result_extension")), point_of(request.get("level_at"))
        choice = _choice(request.get("result"))
        if request.get("save_label"):
            raise UsageError(
                "its label is for display and is not stored", "livf_foramen", "run livf_segmentation to store a label"
            )
        started = time.monotonic()
        store = self._datastore()
        # A received file may have the name of a stored image, never its path.
        stored = str(store.get_image_uri(name)) == str(path)
        with at(name):
            volume = read_image(path)
            final = _final_label(store, name, volume) if stored else None
            label = final or self._engine.segment(volume, level_at, probabilities=True)
            measured = measure(
                label.label, label.affine, level_status=label.level_status, probabilities=label.probabilities
            )
        source = Source(__version__, path.name, label_hash(label.label, label.affine), label.model or None)
        case = name if stored else _without_suffix(path.name)
        params: dict[str, Any] = {"label_names": {}, "measurement": document(measured, case, source)}
        if final is not None and (original := _original_label(store, name, volume)) is not None:
            params["change_from_model"] = _changes(final, measured, original)
        params["latencies"] = {"total": round(time.monotonic() - started, 3)}
        if choice == "markups" and measured.measured:
            return _result_file(".mrk.json", lambda path: write_markups(path, measured)), params
        shown = with_foramina(label.label, label.affine, measured)
        params["label_names"] = names_in(shown)
        return _result_file(suffix, lambda path: write_label(path, shown, label.affine)), params


def _final_label(store: Datastore, image: str, volume: Volume) -> Segmentation | None:
    """The label an annotator saved; None where there is none, or where inference stored its own under this tag."""
    tag = DefaultLabelTag.FINAL.value
    path = store.get_label_uri(image, tag)
    if not path or _by_inference(store.get_label_info(image, tag)):
        return None
    return _stored_label(path, volume)


def _by_inference(info: Mapping[str, Any]) -> bool:
    """Whether the server stored a label itself: it notes the task and what the task said."""
    params = info.get("params")
    return bool(info.get("model")) and isinstance(params, dict) and "level_status" in params


def _original_label(store: Datastore, image: str, volume: Volume) -> Segmentation | None:
    """The network's own label; None where there is none. One that is damaged does not stop a measurement."""
    path = store.get_label_uri(image, DefaultLabelTag.ORIGINAL.value)
    if not path:
        return None
    try:
        with at(image):
            return _stored_label(path, volume)
    except LivfError as error:
        logger.warning("not compared with the original label: %s", error.line)
        return None


def _stored_label(path: str, volume: Volume) -> Segmentation:
    label = read_label(path)
    refuse_other_grid(label, volume)
    return Segmentation(np.asarray(label.array, dtype=np.uint8), label.affine)


def _changes(final: Segmentation, measured: Measurement, original: Segmentation) -> dict[str, dict[str, float]]:
    """How far each number of each side moved by a correction, mm and mm²."""
    # Labels of two levels have no disc voxel in common, and nothing to compare.
    if not ((final.label == DISC.value) & (original.label == DISC.value)).any():
        return {side: {} for side in SIDES}
    before = measure(original.label, original.affine)
    return {side: _change(measured.foramina[side], before.foramina[side]) for side in SIDES}


def _change(after: ForamenMeasurement, before: ForamenMeasurement) -> dict[str, float]:
    if after.numbers is None or before.numbers is None:
        return {}
    pairs = {name: (getattr(after.numbers, name), getattr(before.numbers, name)) for name in _COMPARED}
    return {name: round(a - b, _DIGITS) + 0.0 for name, (a, b) in pairs.items() if a is not None and b is not None}


def _without_suffix(name: str) -> str:
    suffix = suffix_of(name)
    return name.removesuffix(suffix) if suffix in IMAGE_SUFFIXES else name


def _choice(asked: object) -> str:
    if not asked:
        return RESULTS[0]
    if asked not in RESULTS:
        raise UsageError(f"there is no choice {asked!r}", "result", f"give one of {', '.join(RESULTS)}")
    return str(asked)


def _result_file(suffix: str, write: Callable[[Path], None]) -> str:
    with storing("the result"):
        handle, path = tempfile.mkstemp(prefix="livf-result-", suffix=suffix)
        os.close(handle)
        try:
            write(Path(path))
        except LivfError:
            Path(path).unlink(missing_ok=True)
            raise
    return path
