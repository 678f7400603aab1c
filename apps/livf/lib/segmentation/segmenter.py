"""The one call from an image to its label."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from livf.lib.errors import UsageError
from livf.lib.segmentation import box, postprocess, preprocess
from livf.lib.segmentation.config import ModelConfig, Triple
from livf.lib.segmentation.orientation import canonical
from livf.lib.segmentation.preprocess import Prepared
from livf.lib.segmentation.runtime import Floats, Runtime, choose_device
from livf.lib.segmentation.weights import Model, load_model
from livf.lib.values import LevelStatus, Segmentation, Volume, to_index

#: Called with a stage (prepare, network, restore, done) and the share of the work done before it, 0 to 1.
Progress = Callable[[str, float], None]


class Segmenter:
    """A network on a device, with all that goes before and after it.

    Not for two threads at once: the network uses all cores by itself.

    Args:
        model: The weights.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; None: a GPU if there is one, else the CPU.

    Raises:
        UsageError: There is no such device.
    """

    def __init__(self, model: Model, device: str | None = None) -> None:
        self._runtime = Runtime(model.network, choose_device(device))
        self.config: ModelConfig = model.config
        self.version: str = model.version
        self.device: str = str(self._runtime.device)

    @classmethod
    def load(cls, model_dir: Path | None = None, device: str | None = None) -> Segmenter:
        """Read weights and put them on a device.

        Args:
            model_dir: Folder of the weights; None: ``LIVF_MODEL``, else the shipped ones.
            device: As above.

        Raises:
            ModelError: The weights are missing or damaged.
            UsageError: There is no such device.
        """
        choose_device(device)  # a wrong name is told before the weights are read
        return cls(load_model(model_dir), device)

    def warm(self) -> None:
        """Run the network once, so that the first image is as fast as any."""
        self._runtime.warm(self.config.preprocess.box_shape)

    def __call__(
        self,
        volume: Volume,
        *,
        level_at: tuple[float, float, float] | None = None,
        probabilities: bool = False,
        progress: Progress | None = None,
    ) -> Segmentation:
        """Segment L4, the L4-L5 disc and L5.

        Args:
            volume: Any orientation, spacing, obliqueness and field of view.
            level_at: A point in the L4-L5 disc, RAS+ mm; None: the middle of a small field of view is taken for the
                level (status ``assumed``), in a large one it is searched for (``unclear``).
            probabilities: Also return class probabilities on the image's grid.
            progress: Told what is being done.

        Returns:
            The label on the image's own grid and affine. ``warnings`` may have ``missing_structure`` and
            ``wrong_level_order``.

        Raises:
            InputError: The image cannot hold the level, or is constant.
            UsageError: ``level_at`` lies outside the image.
            ModelError: The device has too little memory.
        """
        tell = progress or _silent
        tell("prepare", 0.0)
        image, orientation = canonical(volume)
        preprocess.check_field(image)
        prepared, classes, status = self._run(image, level_at, tell)
        tell("restore", 0.9)
        part, region = preprocess.restore(classes, prepared)
        label = np.zeros(image.shape, dtype=np.uint8)
        label[region] = postprocess.tidy(part)
        reasons = postprocess.warnings(label[region])
        whole = orientation.back(preprocess.restore_probabilities(classes, prepared)) if probabilities else None
        tell("done", 1.0)
        return Segmentation(
            label=orientation.back(label),
            affine=volume.affine,
            source=volume.source,
            level_status=status,
            model=self.version,
            probabilities=whole,
            warnings=reasons,
        )

    def _run(self, image: Volume, level_at: Triple | None, tell: Progress) -> tuple[Prepared, Floats, LevelStatus]:
        config = self.config.preprocess
        if level_at is None and any(box.larger_axes(image, config)):
            tell("network", 0.05)
            prepared, classes = box.search(image, config, self._runtime)
            return prepared, classes, "unclear"
        if level_at is None:
            placement, status = preprocess.place_by_field(image, config), "assumed"
        else:
            placement, status = preprocess.place_at_disc(image, config, _in_image(image, level_at)), "given"
        prepared = preprocess.prepare(image, config, placement)
        tell("network", 0.05)
        return prepared, self._runtime(prepared.array), status  # type: ignore[return-value]


@cache
def _shipped() -> Segmenter:
    return Segmenter.load()


def segment(
    volume: Volume, *, level_at: tuple[float, float, float] | None = None, probabilities: bool = False
) -> Segmentation:
    """Segment one image with the default weights on the best device; both are loaded once.

    Arguments and errors are those of :class:`Segmenter`, which lets weights and device be chosen.
    """
    return _shipped()(volume, level_at=level_at, probabilities=probabilities)


def _in_image(image: Volume, point: Triple) -> Triple:
    """A world point as image voxels."""
    index = to_index(image.affine, point)
    if not np.isfinite(index).all() or (index < -0.5).any() or (index > np.asarray(image.shape) - 0.5).any():
        text = ",".join(f"{value:g}" for value in point)
        raise UsageError(f"{text} lies outside the image", "level_at", "give a point in the L4-L5 disc, RAS mm")
    s, r, a = (float(value) for value in index)
    return s, r, a


def _silent(stage: str, share: float) -> None:
    del stage, share
