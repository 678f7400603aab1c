"""MONAI Label deletes what it sends as an infer result: no task may answer with a stored file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("monailabel")

from livf.lib.config import Config
from livf.lib.images import read_image, write_image, write_label
from livf.lib.server.datastore import FolderDatastore
from livf.lib.server.engine import Engine
from livf.lib.server.tasks import ForamenTask, SegmentationTask
from livf.lib.values import Volume

CASE = "case"


@pytest.fixture
def store(tmp_path: Path, a_label: np.ndarray) -> FolderDatastore:
    studies = tmp_path / "studies"
    studies.mkdir()
    array = np.random.default_rng(3).integers(0, 400, a_label.shape).astype(np.int16)
    write_image(studies / f"{CASE}.nii.gz", Volume(array, np.diag([2.4, 2.4, 2.4, 1.0])))
    store = FolderDatastore(studies, studies / ".livf", watch=False)
    image = read_image(store.get_image_uri(CASE))
    write_label(tmp_path / "label.nii.gz", a_label, image.affine)
    for tag in ("final", "original"):
        store.save_label(CASE, str(tmp_path / "label.nii.gz"), tag, {})
    return store


@pytest.mark.parametrize("more", [{}, {"result_extension": ".nrrd"}, {"result": "markups"}])
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("kind", ["segmentation", "foramen"])
def test_every_task_answers_with_a_fresh_file(
    store: FolderDatastore, model_folder: Path, kind: str, labelled: bool, more: dict[str, Any]
) -> None:
    engine = Engine(Config(model=model_folder, device="cpu"))
    task = SegmentationTask(engine) if kind == "segmentation" else ForamenTask(engine, lambda: store)
    if not labelled:
        store.remove_label(CASE, "final")
    before = {path: path.read_bytes() for path in Path(store._studies).rglob("*") if path.is_file()}
    request = {"image": store.get_image_uri(CASE), "image_name": CASE, **more}
    results = [task(request)[0] for _ in range(2)]
    assert len(set(results)) == 2, "two answers in one file: the first sent deletes the second"
    for result in results:
        assert not store.holds(result) and Path(result).is_file()
        Path(result).unlink()
    assert {path: path.read_bytes() for path in before} == before
