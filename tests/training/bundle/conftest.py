"""Models with random weights on a small grid: they depend on every neighbour, in no symmetric way."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from livf.lib.segmentation import save_model
from livf.lib.segmentation.config import Architecture, ModelConfig, NetworkConfig, PreprocessConfig
from livf.lib.segmentation.network import build

#: 64 x 88 x 88 mm.
GRID = PreprocessConfig(spacing_mm=1.6, box_shape=(40, 55, 55), field_shape=(40, 100, 100))


def write_model(folder: Path, architecture: Architecture, metadata: dict | None = None) -> Path:
    """Write a model whose four classes are about as frequent in noise."""
    torch.manual_seed(3)
    config = ModelConfig(NetworkConfig(architecture, widths=(4, 8)), GRID)
    network = build(config.network).train()
    # The running averages of noise, and a head without a favourite: else one class would win everywhere.
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm3d):
            layer.momentum = None
    with torch.no_grad():
        network(torch.randn(1, 1, 40, 56, 56))
    network.eval()
    with torch.no_grad():
        logits = network(torch.randn(1, 1, 40, 56, 56))
        balance = logits.mean(dim=(0, 2, 3, 4)).repeat_interleave(config.network.cell**3)
        network.head.bias -= balance
    save_model(folder, network.state_dict(), config, metadata or {})
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), "unet3d_cells")
