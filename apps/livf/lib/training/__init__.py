"""Training of the network: presets, splits, variation of cases, the loop, checkpoints.

The names below need torch and monai, and bring them when first used; the presets and the split do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from livf.lib.training.run import Marked, Trained, train

__all__ = ["Marked", "Trained", "train"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        import importlib

        return getattr(importlib.import_module("livf.lib.training.run"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
