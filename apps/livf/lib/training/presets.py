"""Presets: everything that a training depends on but its cases, typed, and whose choice each value is.

``chen2022`` is the recipe of Chen et al. 2022 (Orthopaedic Surgery), with our choice where the paper leaves it open.
``cpu`` makes a five-fold cross-validation of a hundred cases in some two hours on two cores. ``smoke`` shows that
everything works, in a minute. This module brings no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Final, Literal, get_args

from livf.lib.errors import UsageError
from livf.lib.segmentation.config import ModelConfig, NetworkConfig, PreprocessConfig, Span
from livf.lib.training.settings import Augmentation

Precision = Literal["measured", "fp32", "bf16", "fp16"]
Layout = Literal["measured", "contiguous", "channels_last"]
RateCurve = Literal["drops", "cosine"]

_PAPER: Final = "paper"
_OURS: Final = "ours"


@dataclass(frozen=True)
class Optimisation:
    """How the weights are found.

    Attributes:
        rate: Learning rate of Adam: the first one (``drops``), or the largest (``cosine``).
        curve: ``drops``: divided at some epochs; ``cosine``: up over ``warm_up`` epochs, then down to zero.
        drops: Epochs after which the rate is divided.
        divisor: By what.
        warm_up: Epochs over which the rate of ``cosine`` rises.
        epochs: How often every case is seen.
        batch: Cases that pass the network together; batch normalisation sees these.
        micro_batches: How many of these make a step; spread over the processes.
        clip: Largest norm of the gradient; 0 for no bound.
        average: Decay of the moving average of the weights, a step; 0 for none.
        validate_every: Epochs between validations.
    """

    rate: float = 5e-4
    curve: RateCurve = "drops"
    drops: tuple[int, ...] = (33, 66)
    divisor: float = 5.0
    warm_up: float = 0.0
    epochs: int = 100
    batch: int = 2
    micro_batches: int = 1
    clip: float = 0.0
    average: float = 0.0
    validate_every: int = 1


@dataclass(frozen=True)
class TrainingConfig:
    """A training.

    Attributes:
        name: Of the preset.
        network: Architecture.
        preprocess: The grid, and how an image is brought there; the same when the network is used.
        optimisation: How the weights are found.
        loss: ``dice_ce``: the sum of soft Dice over all classes and cross-entropy.
        augmentation: How far a case is varied each time it is seen; None for not at all.
        soft_targets: Whether the varied target keeps shares of classes, so that the boundary stays where it is.
        precision: Arithmetic; ``measured`` takes the fastest of what the device can do.
        layout: Order of the tensors in memory; likewise.
    """

    name: str
    network: NetworkConfig = field(default_factory=NetworkConfig)
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    optimisation: Optimisation = field(default_factory=Optimisation)
    loss: Literal["dice_ce"] = "dice_ce"
    augmentation: Augmentation | None = None
    soft_targets: bool = False
    precision: Precision = "measured"
    layout: Layout = "measured"

    @property
    def model(self) -> ModelConfig:
        """What goes beside the weights."""
        return ModelConfig(self.network, self.preprocess)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        document: dict[str, Any] = _plain(asdict(self))
        return document

    def changed(self, values: Mapping[str, Any]) -> TrainingConfig:
        """This training with some values of its optimisation, or its precision, replaced.

        Raises:
            UsageError: A value makes no training.
        """
        known = {entry.name for entry in fields(Optimisation)}
        given = {name: value for name, value in values.items() if value is not None}
        inner = {name: value for name, value in given.items() if name in known}
        outer = {name: value for name, value in given.items() if name not in known}
        made = replace(self, optimisation=replace(self.optimisation, **inner), **outer)
        made.check()
        return made

    def check(self) -> None:
        """Raise UsageError on values that make no training."""
        chosen = self.optimisation
        for name in ("epochs", "batch", "micro_batches", "validate_every"):
            if getattr(chosen, name) < 1:
                raise UsageError(f"{getattr(chosen, name)} is less than 1", f"--{name.replace('_', '-')}", "give more")
        if not 0 < chosen.rate < 1:
            raise UsageError(f"{chosen.rate} is not between 0 and 1", "--rate", "give a learning rate such as 0.0005")
        if self.precision not in get_args(Precision):
            raise UsageError(f"{self.precision!r} is unknown", "--precision", f"give {', '.join(get_args(Precision))}")
        self.network.check()
        self.preprocess.check()


#: The paper's box is much wider than the spine. This one holds L4 to L5 with their processes and a margin to shift by.
_NARROW_BOX: Final = PreprocessConfig(
    box_shape=(128, 160, 160),
    crop=(Span(), Span(0.25, -10, 0.75, 10), Span(0.25, -28, 0.75, -8)),
    disc_offset_mm=(0.0, 0.0, 20.4),
)

PRESETS: Final[Mapping[str, TrainingConfig]] = {
    preset.name: preset
    for preset in (
        TrainingConfig(
            name="chen2022",
            optimisation=Optimisation(),
            augmentation=Augmentation(
                turn_degrees=4, shift_mm=6, scale=0.04, contrast=0.15, shading=0.15, noise=0.15, blur_voxels=0.6,
                thick_share=0, crop_share=0,
            ),
        ),
        TrainingConfig(
            name="cpu",
            network=NetworkConfig("unet3d_cells", (16, 32, 64, 128)),
            preprocess=_NARROW_BOX,
            optimisation=Optimisation(
                rate=2e-3, curve="cosine", drops=(), warm_up=0.5, epochs=32, batch=1, clip=5.0, average=0.98,
                validate_every=8,
            ),
            augmentation=Augmentation(
                turn_degrees=3, shift_mm=4, scale=0.03, contrast=0.1, shading=0.1, noise=0.1, blur_voxels=0.4,
                thick_share=0, crop_share=0,
            ),
            soft_targets=True,
        ),
        TrainingConfig(
            name="smoke",
            network=NetworkConfig("unet3d", (4, 8)),
            preprocess=PreprocessConfig(
                spacing_mm=4.0, box_shape=(24, 32, 32), field_shape=(26, 64, 64),
                crop=(Span(), Span(0.25, -2, 0.75, 2), Span(0.25, -4, 0.75, 0)),
            ),
            optimisation=Optimisation(rate=2e-2, drops=(16, 21), epochs=24),
            augmentation=Augmentation(thick_share=0, crop_share=0),
            precision="fp32",
            layout="contiguous",
        ),
    )
}  # fmt: skip
DEFAULT: Final = "chen2022"

#: Whose choice a value of ``chen2022`` is; what is not listed here is ours. Keys are those of :func:`flat`.
_FROM_THE_PAPER: Final[Mapping[str, str]] = {
    "network.architecture": "3D-UNet: encoder, decoder, skips, 3x3x3 convolutions, trilinear upsampling, last 1x1x1",
    "preprocess.spacing_mm": "its final resolution",
    "preprocess.box_shape": "zero-padded to 128x180x180",
    "preprocess.field_shape": "D 88 to 128, H = W = 320",
    "preprocess.crop": "I[:, H/4-10:3H/4+10, W/4-20:3W/4]; that H is left-right and W antero-posterior is our reading",
    "preprocess.normalisation": "z-score",
    "optimisation.rate": "Adam, 5e-4",
    "optimisation.curve": "divided at two epochs",
    "optimisation.drops": "after epochs 33 and 66",
    "optimisation.divisor": "by 5",
    "optimisation.batch": '"batch size of two epochs" is read as 2',
}
_OUR_REASONS: Final[Mapping[str, str]] = {
    "network.widths": "the paper gives them only in its figure 1",
    "preprocess.disc_offset_mm": "where the paper's crop has the disc; used when a point in the disc is given",
    "optimisation.epochs": "the paper says 7 hours a fold, not how many epochs",
    "optimisation.micro_batches": "one a process",
    "optimisation.validate_every": "the weights with the best validation Dice are kept",
    "loss": "Dice + cross-entropy; the paper names none",
    "augmentation": "the paper names none; a light one",
    "precision": "does not change the recipe",
    "layout": "does not change the recipe",
}


def preset(name: str) -> TrainingConfig:
    """The preset of a name.

    Raises:
        UsageError: There is none.
    """
    if name not in PRESETS:
        raise UsageError(f"there is no preset {name!r}", "--preset", f"give {', '.join(PRESETS)}")
    return PRESETS[name]


def flat(config: TrainingConfig) -> dict[str, str]:
    """Every value by its dotted name, as a reader reads it."""
    lines: dict[str, str] = {}
    for entry in fields(config):
        value = getattr(config, entry.name)
        if is_dataclass(value) and entry.name != "augmentation":
            lines |= {f"{entry.name}.{inner.name}": _text(getattr(value, inner.name)) for inner in fields(value)}
        else:
            lines[entry.name] = _text(value)
    return lines


def describe(config: TrainingConfig) -> tuple[str, ...]:
    """A training in full, a line a value: name, value, and whether it is the paper's choice or ours."""
    own, paper = flat(config), flat(PRESETS[DEFAULT])
    width = max(map(len, own))
    lines = []
    for name, value in own.items():
        if name == "name":
            continue
        if name in _FROM_THE_PAPER and value == paper[name]:
            why = f"{_PAPER}: {_FROM_THE_PAPER[name]}"
        elif name in _FROM_THE_PAPER:
            why = f"{_OURS}; the paper: {paper[name]}"
        else:
            reason = _OUR_REASONS.get(name)
            why = f"{_OURS}: {reason}" if reason and value == paper[name] else _OURS
        lines.append(f"{name:<{width}}  {value}  [{why}]")
    return tuple(lines)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(_text(part) for part in value) or "none"
    if isinstance(value, Span):
        return f"{value.low:g}N{value.low_voxels:+g}..{value.high:g}N{value.high_voxels:+g}"
    if isinstance(value, Augmentation):
        return ", ".join(f"{entry.name} {getattr(value, entry.name):g}" for entry in fields(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    """Tuples as the lists that JSON gives back, so that two configurations can be compared."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value
