"""One case: segmented, measured and written whole or not at all, and not done twice.

Its folder has the label, the measurement document, the pictures and whatever else ``livf measure -o`` writes, and
``run.json``, which says from what it was made. The folder appears by a rename when everything is in it. It is livf's
own: it is made anew when the image's content, the weights, the version of livf or the given point is another.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from livf import __version__
from livf.lib.cohort.sources import Source
from livf.lib.cohort.table import DOCUMENT_NAME, RECORD_NAME, RECORD_SCHEMA, Row, read_record, read_row
from livf.lib.errors import ModelError, OutputError
from livf.lib.export.document import Source as Provenance
from livf.lib.export.document import document, label_hash
from livf.lib.foramen import measure
from livf.lib.measuring import Measured, write_results
from livf.lib.pipeline import segment_file
from livf.lib.segmentation.weights import JSON_NAME, default_folder
from livf.lib.storage import write_text
from livf.lib.values import Segmentation, Volume

if TYPE_CHECKING:
    from livf.lib.segmentation import Segmenter

LABEL_NAME: Final = "label.nii.gz"
PICTURE_NAME: Final = "overview.png"
#: Beginnings of the names of a folder that is being made, and of one that is being replaced.
_MAKING: Final = ".writing-"
_REPLACED: Final = ".replaced-"
#: The network is not for two threads at once.
_NETWORK: Final = threading.Lock()


@dataclass(frozen=True)
class Settings:
    """How all cases of a run are made. Plain values: they travel to other processes and machines.

    Attributes:
        model: Folder of the weights.
        model_sha256: Of the weights' JSON, which holds the hash of the weights.
        device: As for :class:`~livf.lib.segmentation.segmenter.Segmenter`.
        level_at: A point in the L4-L5 disc, RAS+ mm; None: the network looks for it.
    """

    model: Path
    model_sha256: str
    device: str | None = None
    level_at: tuple[float, float, float] | None = None

    @classmethod
    def of(
        cls,
        model: Path | None = None,
        device: str | None = None,
        level_at: tuple[float, float, float] | None = None,
    ) -> Settings:
        """Settings for the weights in a folder (None: ``LIVF_MODEL``, else the shipped ones).

        Raises:
            ModelError: There are no weights.
        """
        folder = (model or default_folder()).absolute()
        try:
            digest = hashlib.sha256((folder / JSON_NAME).read_bytes()).hexdigest()
        except OSError as error:
            raise ModelError(
                "there are no network weights here", folder, "give the folder of the weights (--model or LIVF_MODEL)"
            ) from error
        return cls(folder, digest, device, level_at)


def run_case(source: Source, target: Path, settings: Settings) -> Row:
    """Make one case, or take it as it is when it was made before from the same image with the same settings.

    It depends on its arguments and the files they name only, so any executor of any process or machine may run it.

    Args:
        source: The image.
        target: The case's folder; its parent exists. Nothing half-made is ever there, also after a kill.
        settings: How it is made.

    Returns:
        Its row in the table.

    Raises:
        LivfError: It cannot be read, segmented or written; an older result stays as it was.
    """
    wanted = record_of(source, settings)
    if (row := finished(target, wanted)) is not None:
        return row
    _refuse_others(target, wanted)
    making = target.with_name(_MAKING + target.name)
    try:
        _remove(making)  # of a run that was killed
        making.mkdir()
        _fill(making, source, settings)
        files = sorted(path.name for path in making.iterdir())
        write_text(making / RECORD_NAME, json.dumps({**wanted, "files": files}, indent=1) + "\n")
        _commit(making, target)
    except OSError as error:
        raise OutputError.from_os_error(error, target) from error
    finally:
        _remove(making)
    row = read_row(target)
    assert row is not None
    return row


def record_of(source: Source, settings: Settings) -> dict[str, Any]:
    """What a case is made from: what ``run.json`` keeps."""
    return {
        "schema": RECORD_SCHEMA,
        "image": os.fspath(source.image),
        "image_sha256": source.sha256(),
        "model_sha256": settings.model_sha256,
        "livf": __version__,
        "level_at": list(settings.level_at) if settings.level_at else None,
    }


def finished(target: Path, wanted: dict[str, Any]) -> Row | None:
    """The row of a case that is whole and was made from the same; the image may have moved."""
    record = read_record(target)
    if record is None or any(record.get(key) != value for key, value in wanted.items() if key != "image"):
        return None
    files = record.get("files")
    if not isinstance(files, list) or not all((target / str(name)).exists() for name in files):
        return None
    return read_row(target)


def _refuse_others(target: Path, wanted: dict[str, Any]) -> None:
    """Refuse to replace what is not an older result of the same image."""
    if not target.exists():
        return
    record = read_record(target)
    if record is None:
        raise OutputError("is there already and was not made by livf run", target, "choose another folder (-o)")
    if all(record.get(key) != wanted[key] for key in ("image", "image_sha256")):
        raise OutputError(
            f"holds the results of another image ({record.get('image')})",
            target,
            "run both images at once, or choose another folder (-o)",
        )


def _fill(folder: Path, source: Source, settings: Settings) -> None:
    """Make all files of a case."""
    segmenter = segmenter_of(settings)

    def with_probabilities(volume: Volume, **options: Any) -> Segmentation:
        """Segment and keep the probabilities: the ± needs them, though no file of them is written."""
        return segmenter(volume, **{**options, "probabilities": True})

    with _NETWORK:
        result = segment_file(
            source.image,
            folder / LABEL_NAME,
            with_probabilities,  # type: ignore[arg-type]
            level_at=settings.level_at,
            picture=folder / PICTURE_NAME,
        )
    measurement = measure(
        result.label, result.affine, level_status=result.level_status, probabilities=result.probabilities
    )
    provenance = Provenance(
        livf=__version__,
        image=source.image.name,
        label_sha256=label_hash(result.label, result.affine),
        model=result.model,
    )
    content = document(measurement, source.case, provenance)
    write_results(Measured(Volume(result.label, result.affine, result.source), measurement, content), folder)
    (folder / f"{source.case}.json").replace(folder / DOCUMENT_NAME)


def segmenter_of(settings: Settings) -> Segmenter:
    """The network, loaded once in a process.

    Raises:
        LivfError: The weights are damaged, or there is no such device.
    """
    return _load(settings.model, settings.model_sha256, settings.device)


@lru_cache(maxsize=1)
def _load(model: Path, model_sha256: str, device: str | None) -> Segmenter:
    """The network of this process; other weights in the same folder have another hash."""
    del model_sha256
    from livf.lib.segmentation import Segmenter

    return Segmenter.load(model, device)


def _commit(made: Path, target: Path) -> None:
    """Put a made folder in the target's place."""
    replaced = target.with_name(_REPLACED + target.name)
    _remove(replaced)
    try:
        if target.exists():
            target.rename(replaced)
        made.rename(target)
    except BaseException:
        if replaced.exists() and not target.exists():
            replaced.rename(target)
        raise
    _remove(replaced)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
