"""Which image an annotator gets next."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy


class Random(Strategy):  # type: ignore[misc]  # monailabel has no types
    """Any image without a final label; the longer ago it was last given out, the more likely.

    MONAI Label's own strategy of this name fails when the only image left was given out within the same second.
    """

    def __init__(self) -> None:
        super().__init__("Random image without a final label")

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Choose an image; None when all have final labels."""
        images = datastore.get_unlabeled_images()
        if not images:
            return None
        now = time.time()
        given = [datastore.get_image_info(image).get("strategy", {}).get("random", {}).get("ts", 0) for image in images]
        weights = [1 + max(0.0, now - when) for when in given]
        [(image, weight)] = random.choices(list(zip(images, weights, strict=True)), weights)
        return {"id": image, "weight": weight}
