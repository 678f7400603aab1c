"""Network weights on disk: safetensors, with a JSON beside them that says what they are. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from livf.lib import storage
from livf.lib.errors import ModelError
from livf.lib.segmentation.config import ModelConfig, parse

if TYPE_CHECKING:
    import torch

    from livf.lib.segmentation.network import UNet3D

WEIGHTS_NAME: Final = "livf-unet.safetensors"
JSON_NAME: Final = "livf-unet.json"
#: The weights that livf comes with.
SHIPPED: Final = Path(__file__).resolve().parents[2] / "model"
ENVIRONMENT: Final = "LIVF_MODEL"
_LARGEST: Final = 2**30

_AGAIN: Final = "copy the weights and their JSON again, both from the same place"


@dataclass(frozen=True, eq=False)
class Model:
    """Weights with what they are.

    Attributes:
        network: In evaluation mode, on the CPU.
        config: Architecture and preprocessing.
        version: Name with the beginning of the weights' SHA-256.
        metadata: The whole JSON: seeds, metrics, commit.
    """

    network: UNet3D
    config: ModelConfig
    version: str
    metadata: Mapping[str, Any]


def default_folder() -> Path:
    """Where weights are looked for when none are named: ``LIVF_MODEL``, else the shipped ones."""
    return Path(os.environ.get(ENVIRONMENT) or SHIPPED)


def save_model(
    folder: str | os.PathLike[str],
    state_dict: Mapping[str, torch.Tensor],
    config: ModelConfig,
    metadata: Mapping[str, Any],
) -> Path:
    """Write weights and their JSON into ``folder``.

    The weights go first and the JSON carries their SHA-256: a kill between the two leaves a pair that is refused, not
    one that is wrong.

    Args:
        folder: Made when missing.
        state_dict: Of the network of ``config.network``.
        config: Architecture and preprocessing.
        metadata: What else to keep: training settings, data seeds, metrics, commit. Plain JSON values.

    Returns:
        Path of the weights.

    Raises:
        ModelError: The tensors are not those of the architecture.
        OutputError: It cannot be written; each file is whole or as it was.
    """
    from safetensors.torch import save

    folder = Path(folder)
    target = folder / WEIGHTS_NAME
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state_dict.items()}
    _fill(config, tensors, str(target))
    content = save(tensors)
    document = {
        **config.to_json(),
        "weights": {"file": WEIGHTS_NAME, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)},
    }
    if taken := sorted(set(metadata) & set(document)):
        raise ValueError(f"metadata may not have the key {taken[0]!r}")
    text = json.dumps({**document, **metadata}, indent=1, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    storage.write_bytes(target, content)
    storage.write_text(folder / JSON_NAME, text)
    return target


def load_model(folder: str | os.PathLike[str] | None = None) -> Model:
    """Read a network.

    Args:
        folder: Of the weights and their JSON; None for :func:`default_folder`.

    Raises:
        ModelError: Something is missing, damaged or does not fit together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    folder = Path(folder) if folder is not None else default_folder()
    document = _document(folder / JSON_NAME)
    config = parse(document, str(folder / JSON_NAME))
    path = folder / WEIGHTS_NAME
    content = _read(path)
    digest = hashlib.sha256(content).hexdigest()
    listed = document.get("weights")
    expected = listed.get("sha256") if isinstance(listed, Mapping) else None
    if digest != expected:
        raise ModelError("is damaged or is not the file its JSON describes (SHA-256 differs)", path, _AGAIN)
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError("is damaged or no safetensors file", path, _AGAIN) from error
    network = _fill(config, tensors, str(path))
    return Model(network, config, f"livf-unet-{digest[:12]}", document)


def _fill(config: ModelConfig, tensors: Mapping[str, torch.Tensor], where: str) -> UNet3D:
    """A network of the architecture with these weights."""
    import torch

    from livf.lib.segmentation.network import build

    network = build(config.network)
    wanted = network.state_dict()
    for name in sorted(set(wanted) ^ set(tensors)):
        raise ModelError(f"{'lacks' if name in wanted else 'has an unknown'} tensor {name!r}", where, _AGAIN)
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            raise ModelError(
                f"tensor {name!r} has shape {list(tensor.shape)}, not {list(wanted[name].shape)}", where, _AGAIN
            )
        if not torch.isfinite(tensor).all():
            raise ModelError(f"tensor {name!r} holds values that are not numbers", where, _AGAIN)
    network.load_state_dict(dict(tensors))
    return network.eval()


def _document(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise ModelError("is damaged or no JSON file", path, _AGAIN) from error
    if not isinstance(document, Mapping):
        raise ModelError("is no JSON object", path, _AGAIN)
    return document


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            raise ModelError("is larger than any weights of livf", path, _AGAIN)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(
            "there are no network weights here", path, "give the folder of the weights (--model or LIVF_MODEL)"
        ) from error
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror or error})", path, _AGAIN) from error
