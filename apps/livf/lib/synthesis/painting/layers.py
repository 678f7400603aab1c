"""The tissues' image being painted, window by block, each tissue with the share of the voxel that it fills."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from livf.lib.synthesis.canvas import smooth_noise
from livf.lib.synthesis.painting.deform import Block, Window
from livf.lib.synthesis.painting.looks import Look

Floats = npt.NDArray[np.float32]


class Layers:
    """An image, the look of its tissues, and textures that they share.

    Attributes:
        image: float32, the window's shape, signal relative to fat.
        look: Signals and textures.
        coarse: Texture with features of 7 mm, about unit variance.
        fine: Texture with features of 2.2 mm.
    """

    def __init__(self, window: Window, look: Look, rng: np.random.Generator) -> None:
        self.window, self.look = window, look
        self.image: Floats = np.zeros(window.shape, dtype=np.float32)
        self.coarse = self.noise(7.0, rng)
        self.fine = self.noise(max(2.2, window.spacing), rng)

    def noise(
        self, size_mm: float, rng: np.random.Generator, stretch: tuple[float, float, float] = (1, 1, 1)
    ) -> Floats:
        """Smooth texture of about unit variance over the window."""
        rates = [min(self.window.spacing / (size_mm * s), 1.0) for s in stretch]
        return smooth_noise(self.window.shape, rates, rng)

    def signal(self, tissue: str) -> np.float32:
        """Signal of a tissue."""
        return np.float32(self.look.signal(tissue))

    def cover(self, distance: Floats) -> Floats:
        """Share of a voxel inside a surface at this signed distance, mm."""
        return np.asarray(np.clip(0.5 - distance / np.float32(self.window.spacing), 0, 1), dtype=np.float32)

    def paint(self, block: Block, distance: Floats, value: str | Floats | np.float32) -> None:
        """Lay a tissue over what is there, inside a surface."""
        share = self.cover(distance)
        target = self.image[block]
        tone = self.signal(value) if isinstance(value, str) else value
        target += share * (tone - target)
