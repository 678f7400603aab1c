"""Inference on many images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.batch_infer import BatchInferTask

from livf.lib.errors import LivfError

logger = logging.getLogger(__name__)


class BatchInfer(BatchInferTask):  # type: ignore[misc]  # monailabel has no types
    """MONAI Label's batch inference, one image at a time on the server's own device.

    The stock task spreads the images over the CUDA devices and divides by their number, which is zero on a CPU host;
    our network is loaded on one device, whatever a request says. It also stops at the first image that fails; here
    the others are done, and the failed one's entry says why under ``error``.
    """

    def __call__(
        self, request: dict[str, Any], datastore: Datastore, infer: Callable[..., Any]
    ) -> dict[str, dict[str, Any]]:
        """Run ``infer`` on the images that ``request`` chooses."""

        def infer_or_say_why(one: dict[str, Any], store: Datastore) -> dict[str, Any]:
            try:
                return dict(infer(one, store))
            except LivfError as error:
                logger.warning("batch inference: %s", error.line)
                return {"error": error.line}

        request = {**request, "multi_gpu": False, "device": "cpu", "max_workers": 1}
        return dict(super().__call__(request, datastore, infer_or_say_why))
