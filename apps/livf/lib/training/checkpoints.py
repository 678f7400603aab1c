"""A training's state on disk, without pickle: tensors as safetensors, numbers as JSON in the same file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from livf.lib.storage import writing

_SEPARATOR = "/"
_NUMBERS = ("step", "seconds", "best", "losses", "scale", "finished")


@dataclass(frozen=True)
class Checkpoint:
    """What a training needs to go on.

    Attributes:
        step: Optimiser steps done.
        seconds: Time spent.
        best: Best validation score so far.
        weights: The network.
        average: Exponential moving average of the weights.
        optimiser: State of the optimiser, by parameter and name.
        losses: Of the steps since the last validation.
        scale: Of fp16's loss scaling: the factor, and steps since it last grew. Empty for other arithmetic.
        finished: Whether the training is over.
    """

    step: int
    seconds: float
    best: float
    weights: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor]
    optimiser: dict[str, torch.Tensor]
    losses: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    finished: bool = False


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole or not at all."""
    tensors = {}
    for group in ("weights", "average", "optimiser"):
        for name, tensor in getattr(checkpoint, group).items():
            tensors[group + _SEPARATOR + name] = tensor.detach().clone().contiguous()
    numbers = {name: getattr(checkpoint, name) for name in _NUMBERS}
    with writing(path) as temporary:
        save_file(tensors, temporary, metadata={"numbers": json.dumps(numbers)})


def load(path: Path) -> Checkpoint:
    """Read a checkpoint."""
    groups: dict[str, dict[str, torch.Tensor]] = {"weights": {}, "average": {}, "optimiser": {}}
    with safe_open(path, framework="pt") as file:
        numbers = json.loads(file.metadata()["numbers"])
        for key in file.keys():  # noqa: SIM118 - not a mapping
            group, name = key.split(_SEPARATOR, 1)
            groups[group][name] = file.get_tensor(key)
    return Checkpoint(
        step=int(numbers["step"]),
        seconds=float(numbers["seconds"]),
        best=float(numbers["best"]),
        # Runs of scripts/train_weights.py from before these were kept.
        losses=tuple(numbers.get("losses", ())),
        scale=tuple(numbers.get("scale", ())),
        finished=bool(numbers.get("finished", False)),
        **groups,
    )


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """State of an optimiser as named tensors."""
    return {
        f"{index}{_SEPARATOR}{name}": torch.as_tensor(value)
        for index, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put back what :func:`optimiser_tensors` gave."""
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(_SEPARATOR, 1)
        state.setdefault(int(index), {})[name] = tensor
    whole = optimiser.state_dict()
    whole["state"] = state
    optimiser.load_state_dict(whole)
