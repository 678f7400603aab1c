"""Segmentation of L4, the L4-L5 disc and L5. Importing this brings no torch; the names below do when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from livf.lib.segmentation.segmenter import Segmenter, segment
    from livf.lib.segmentation.weights import load_model, save_model

__all__ = ["Segmenter", "load_model", "save_model", "segment"]


def __getattr__(name: str) -> Any:
    if name in ("Segmenter", "segment"):
        from livf.lib.segmentation import segmenter

        return getattr(segmenter, name)
    if name in __all__:
        from livf.lib.segmentation import weights

        return getattr(weights, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
