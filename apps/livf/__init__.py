"""Segmentation of L4, the L4-5 disc and L5 on lumbar MRI, for the intervertebral foramen.

The public names are loaded when they are first used: ``import livf`` brings neither torch nor monailabel.
Research use; not a medical device.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from livf.version import __version__

if TYPE_CHECKING:
    from livf.lib.errors import LivfError
    from livf.lib.foramen import measure
    from livf.lib.images import read_image, read_label, write_label
    from livf.lib.segmentation import Segmenter, segment
    from livf.lib.synthesis.phantom import make_phantom
    from livf.lib.values import Segmentation, Volume

_HOMES = {
    "LivfError": "livf.lib.errors",
    "Segmentation": "livf.lib.values",
    "Segmenter": "livf.lib.segmentation",
    "Volume": "livf.lib.values",
    "make_phantom": "livf.lib.synthesis.phantom",
    "measure": "livf.lib.foramen",
    "read_image": "livf.lib.images",
    "read_label": "livf.lib.images",
    "segment": "livf.lib.segmentation",
    "write_label": "livf.lib.images",
}

__all__ = [
    "LivfError",
    "Segmentation",
    "Segmenter",
    "Volume",
    "__version__",
    "make_phantom",
    "measure",
    "read_image",
    "read_label",
    "segment",
    "write_label",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'livf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
