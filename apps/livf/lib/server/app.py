"""The MONAI Label app: which tasks and which datastore a livf server has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.batch_infer import BatchInferTask
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy

from livf.lib.anatomy import TRAINED
from livf.lib.config import Config
from livf.lib.errors import LivfError, NotFoundError, UsageError
from livf.lib.server.datastore import FolderDatastore
from livf.lib.server.engine import Engine
from livf.lib.server.tasks import BatchInfer, ForamenTask, Random, SegmentationTask
from livf.version import __version__


class LivfApp(MONAILabelApp):  # type: ignore[misc]  # monailabel has no types
    """Segments L4, the L4-5 disc and L5 on lumbar MRI, and keeps what annotators correct.

    Args:
        app_dir: Folder of the app, by MONAI Label.
        studies: Folder of the images.
        conf: ``--conf`` pairs, see :class:`livf.lib.config.Config`.

    Raises:
        UsageError: A setting is not known, or ``studies`` is not a folder.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.config = Config.parse(conf or {}, os.environ)
        self.engine = Engine(self.config)
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="livf",
            description="Lumbar intervertebral foramen at L4-L5. Research use, not a medical device.",
            version=__version__,
            labels=[structure.name for structure in TRAINED],
        )

    def init_infers(self) -> dict[str, InferTask]:
        """The infer tasks by name; clients run the first one that shares a label by themselves."""
        return {
            "livf_segmentation": SegmentationTask(self.engine),
            "livf_foramen": ForamenTask(self.engine, self.datastore),
        }

    def init_strategies(self) -> dict[str, Strategy]:
        """How the next image is chosen, by name."""
        return {"random": Random()}

    def init_batch_infer(self) -> BatchInferTask:
        """Batch inference that also works without a GPU."""
        return BatchInfer()

    def init_datastore(self) -> Datastore:
        """The images and labels of the studies folder."""
        if self.studies.startswith(("http://", "https://")):
            raise UsageError(
                "is not a folder", self.studies, "give a folder of images; a DICOMweb store is not served yet"
            )
        studies = Path(self.studies)
        # MONAI Label's training processes turn the watching off.
        return FolderDatastore(
            studies, state=self.config.state_for(studies), watch=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD
        )

    def on_init_complete(self) -> None:
        """Make the server ready: MONAI Label calls this in the server only, never in its training processes."""
        from monailabel.app import app as stock

        from livf.lib.server.http import install

        store = self.datastore()
        if isinstance(store, FolderDatastore):
            store.claim()
        studies = Path(self.studies)
        install(stock, self.config, studies, self.config.state_for(studies))
        self.engine.warm()
        super().on_init_complete()

    def infer_config(self, model: str) -> dict[str, Any]:
        """The settings of an infer task, which its clients send back with every request.

        Raises:
            NotFoundError: There is no such task.
        """
        return dict(self._task(model).config())

    def _task(self, model: str) -> InferTask:
        task = self._infers.get(model)
        if task is None:
            raise NotFoundError("there is no such model", str(model), f"the models are {', '.join(self._infers)}")
        return task

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Run an infer task.

        Args:
            request: ``model``, ``image`` (an image's id as str, or a received file as Path), and the task's own keys;
                ``save_label`` stores the result under ``label_tag``.
            datastore: Where the image and the label are; the app's own by default.

        Returns:
            ``file`` (a fresh file: MONAI Label deletes it after it was sent), ``label``, ``tag`` and ``params``.

        Raises:
            LivfError: There is no such task or image, or the task refuses it.
        """
        store = datastore or self.datastore()
        model, image = request.get("model"), request.get("image")
        task = self._task(str(model))
        path = str(image) if isinstance(image, Path) else store.get_image_uri(str(image))
        if not path:
            raise NotFoundError("there is no such image", str(image), "GET /datastore/?output=all lists the images")
        named = request.get("image_name") or (image.name if isinstance(image, Path) else str(image))
        result, params = task({**request, "image": path, "image_name": named})
        if isinstance(store, FolderDatastore) and not isinstance(image, Path):
            if result and store.holds(result):
                raise RuntimeError("a task answered with a stored file, which MONAI Label would delete")
            if params.get("model"):
                store.note_answer(str(image), request, str(params["model"]))
        tag = str(request.get("label_tag") or DefaultLabelTag.ORIGINAL.value)
        label: str | None = result
        if result and request.get("save_label") and not isinstance(image, Path):
            try:
                # A label without any structure cannot be corrected or learnt from, so it is not kept.
                found = bool(params["label_names"])
                label = store.save_label(str(image), result, tag, {"model": model, "params": params}) if found else None
            except LivfError:
                Path(result).unlink(missing_ok=True)
                raise
        return {"label": label, "tag": tag, "file": result, "params": params}

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """Choose the next image to annotate.

        Raises:
            NotFoundError: There is no such strategy.
        """
        strategy = request.get("strategy")
        if strategy and strategy not in self._strategies:
            raise NotFoundError(
                "there is no such strategy", str(strategy), f"the strategies are {', '.join(self._strategies)}"
            )
        return dict(super().next_sample(request))
