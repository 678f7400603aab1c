"""What a network is and how images are brought to it: parsed and validated once, from the JSON beside the weights.

Axes of the network's grid, and of every triple here, are (superior, right, anterior). The defaults are the recipe of
Chen et al. 2022 (Orthopaedic Surgery): the paper crops ``I[:, H/4-10 : 3H/4+10, W/4-20 : 3W/4]`` of an axial volume
D x H x W with H = W = 320, z-scores it and pads it with zeros to 128 x 180 x 180.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, get_args

from livf.lib.anatomy import TRAINED
from livf.lib.errors import ModelError

#: ``clipped``: what is brighter than the 99.5th percentile by 30 % of the span from the 0.5th is cut off first.
Normalisation = Literal["zscore", "clipped"]
#: ``unet3d``: Çiçek's at the grid's resolution. ``unet3d_cells``: the same at half of it, on cells of 2x2x2 voxels that
#: enter as eight channels and leave as eight voxels a class.
Architecture = Literal["unet3d", "unet3d_cells"]
Triple = tuple[float, float, float]
Shape = tuple[int, int, int]

#: Bump when an older livf could no longer read the JSON.
FORMAT: Final = "livf.model/1"


@dataclass(frozen=True)
class Span:
    """Part of an axis: from ``low * length + low_voxels`` to ``high * length + high_voxels``."""

    low: float = 0.0
    low_voxels: float = 0.0
    high: float = 1.0
    high_voxels: float = 0.0

    def middle(self, length: float) -> float:
        """Middle of the part, counted in voxels from the edge of the first voxel."""
        return ((self.low + self.high) * length + self.low_voxels + self.high_voxels) / 2


@dataclass(frozen=True)
class NetworkConfig:
    """The architecture.

    Attributes:
        architecture: Its name.
        widths: Feature channels of each level, from the finest down.
    """

    architecture: Architecture = "unet3d"
    widths: tuple[int, ...] = (16, 32, 64, 128)

    @property
    def cell(self) -> int:
        """Voxels along each edge of a cell that the network works on as one."""
        return 2 if self.architecture == "unet3d_cells" else 1

    def check(self) -> None:
        """Raise ValueError on values that make no network."""
        if self.architecture not in get_args(Architecture):
            raise ValueError(f"unknown architecture {self.architecture!r}")
        if not 2 <= len(self.widths) <= 7 or not all(1 <= width <= 1024 for width in self.widths):
            raise ValueError(f"impossible widths {list(self.widths)}")


@dataclass(frozen=True)
class PreprocessConfig:
    """How an image is brought to the network's grid.

    Attributes:
        spacing_mm: Voxel size of the grid.
        box_shape: Voxels of the grid.
        field_shape: The paper's field of view, voxels of the same size: what is larger needs the box finder.
        crop: Where in a field of view of the paper's kind the box's middle lies, each axis.
        disc_offset_mm: Where the L4-L5 disc's middle lies from the box's middle. The paper's crop leans 8 mm to the
            back of a field that is itself centred a little behind the disc.
        normalisation: ``zscore``: mean 0 and standard deviation 1 over the part of the box that the image covers.
    """

    spacing_mm: float = 0.8
    box_shape: Shape = (128, 180, 180)
    field_shape: Shape = (128, 320, 320)
    crop: tuple[Span, Span, Span] = field(default=(Span(), Span(0.25, -10, 0.75, 10), Span(0.25, -20, 0.75, 0)))
    disc_offset_mm: Triple = (0.0, 0.0, 14.0)
    normalisation: Normalisation = "zscore"

    def check(self) -> None:
        """Raise ValueError on values that make no grid."""
        if not 0.1 <= self.spacing_mm <= 10:
            raise ValueError(f"impossible spacing_mm {self.spacing_mm}")
        for name in ("box_shape", "field_shape"):
            if not all(8 <= size <= 1024 for size in getattr(self, name)):
                raise ValueError(f"impossible {name} {list(getattr(self, name))}")
        if self.normalisation not in get_args(Normalisation):
            raise ValueError(f"unknown normalisation {self.normalisation!r}")

    @property
    def box_mm(self) -> Triple:
        """Size of the box."""
        s, r, a = (size * self.spacing_mm for size in self.box_shape)
        return s, r, a


@dataclass(frozen=True)
class ModelConfig:
    """Everything about a network that its use depends on."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as :func:`parse` takes them."""
        return {
            "format": FORMAT,
            "structures": [structure.name for structure in TRAINED],
            "network": asdict(self.network),
            "preprocess": asdict(self.preprocess),
        }


def parse(document: Mapping[str, Any], where: str) -> ModelConfig:
    """Read the parts of a model's JSON that its use depends on; others (provenance, metrics) are left alone.

    Args:
        document: The parsed JSON.
        where: Its file, for messages.

    Raises:
        ModelError: A key is missing or unknown, a value has the wrong type or is impossible, or the network segments
            other structures than this livf knows.
    """
    remedy = "use weights made for this version of livf"
    if document.get("format") != FORMAT:
        raise ModelError(f"has format {document.get('format')!r}, not {FORMAT!r}", where, remedy)
    names = [structure.name for structure in TRAINED]
    if document.get("structures") != names:
        raise ModelError(f"segments {document.get('structures')}, not {names}", where, remedy)
    try:
        config = ModelConfig(
            NetworkConfig(**_values(NetworkConfig, document.get("network"), "network")),
            PreprocessConfig(**_values(PreprocessConfig, document.get("preprocess"), "preprocess")),
        )
        config.network.check()
        config.preprocess.check()
    except (TypeError, ValueError) as error:
        raise ModelError(str(error), where, remedy) from error
    return config


def _values(kind: type[Any], given: object, name: str) -> dict[str, Any]:
    """Values of one dataclass, each of the type that the default of its field has; every field must be there."""
    if not isinstance(given, Mapping):
        raise ValueError(f"has no {name!r} object")
    default = kind()
    known = [entry.name for entry in fields(kind)]
    if wrong := sorted(set(given) ^ set(known)):
        raise ValueError(f"{name}: {'unknown' if wrong[0] in given else 'missing'} key {wrong[0]!r}")
    return {key: _like(getattr(default, key), given[key], f"{name}.{key}") for key in known}


def _like(default: Any, given: Any, name: str) -> Any:
    if isinstance(default, Span):
        return Span(**_values(Span, given, name))
    if isinstance(default, tuple):
        fixed = not name.endswith("widths")
        if not isinstance(given, (list, tuple)) or (fixed and len(given) != len(default)):
            raise ValueError(f"{name} is not a list{f' of {len(default)}' if fixed else ''}: {given!r}")
        return tuple(_like(default[0], value, name) for value in given)
    if isinstance(default, str):
        if isinstance(given, str):
            return given
    elif not isinstance(given, bool):
        if isinstance(default, int) and isinstance(given, int):
            return given
        if isinstance(default, float) and isinstance(given, (int, float)) and math.isfinite(given):
            return float(given)
    raise ValueError(f"{name} is not a {'text' if isinstance(default, str) else 'number of the right kind'}: {given!r}")
