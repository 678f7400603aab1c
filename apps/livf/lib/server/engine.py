"""One network for all requests: loaded once, used by one request at a time."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from livf.lib.config import Config
from livf.lib.values import Segmentation, Volume

if TYPE_CHECKING:
    from livf.lib.segmentation import Segmenter

logger = logging.getLogger(__name__)


class Engine:
    """The segmenter of a server.

    Building an engine loads nothing: MONAI Label builds the whole app in its training processes too, which need no
    network for inference.

    Args:
        config: Which weights, on which device.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._segmenter: Segmenter | None = None

    def warm(self) -> None:
        """Load the network and run it once, so that the first request is as fast as any.

        Raises:
            ModelError: The weights are missing or damaged.
        """
        with self._lock:
            if self._segmenter is None:
                self._load().warm()

    def segment(
        self, volume: Volume, level_at: tuple[float, float, float] | None = None, *, probabilities: bool = False
    ) -> Segmentation:
        """Segment one image; a second request waits, since the network uses all cores by itself.

        Args:
            volume: The image.
            level_at: A point in the L4-L5 disc, RAS+ mm; None to look for the level.
            probabilities: Also return class probabilities.

        Raises:
            LivfError: The image cannot be segmented.
        """
        with self._lock:
            segmenter = self._segmenter or self._load()
            return segmenter(volume, level_at=level_at, probabilities=probabilities)

    def _load(self) -> Segmenter:
        from livf.lib.segmentation import Segmenter

        self._segmenter = Segmenter.load(self._config.model, device=self._config.device)
        logger.info("network %s on %s", self._segmenter.version, self._segmenter.device)
        return self._segmenter
