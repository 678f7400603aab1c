"""The 3D U-Net (Çiçek et al., MICCAI 2016), as Chen et al. 2022 use it.

Encoder and decoder with skip connections, two 3x3x3 convolutions a level, trilinear upsampling, and a last 1x1x1
convolution. Widths are a parameter: the paper gives them only in a figure.

It can work on cells of voxels instead of voxels (sub-pixel convolution, Shi et al., CVPR 2016, at both ends): at an
eighth of the work the boundary keeps the grid's own resolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from livf.lib.anatomy import CHANNELS
from livf.lib.segmentation.config import NetworkConfig


class UNet3D(nn.Module):
    """A 3D U-Net for any input size.

    Args:
        widths: Feature channels of each level, from the finest down.
        in_channels: Channels of the input image.
        out_channels: Channels of the output (background and each structure).
        cell: Voxels along each edge of a cell: its voxels enter the first level as channels of one position, and the
            head gives as many logits a class. 1 is the plain network.
    """

    def __init__(
        self,
        widths: Sequence[int] = (16, 32, 64, 128),
        in_channels: int = 1,
        out_channels: int = 4,
        cell: int = 1,
    ) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError(f"a U-Net needs at least two levels, not widths={tuple(widths)}")
        self.widths = tuple(widths)
        self.cell = cell
        self.out_channels = out_channels
        before = (in_channels * cell**3, *self.widths[:-1])
        self.encoder = nn.ModuleList(_two_convolutions(before[level], width) for level, width in enumerate(self.widths))
        # The 1x1x1 convolution that halves the channels stands before the upsampling: both are linear, so the result
        # is the same as after it, at an eighth of the work.
        self.reduce = nn.ModuleList(
            nn.Conv3d(self.widths[level + 1], self.widths[level], 1) for level in range(len(self.widths) - 1)
        )
        self.decoder = nn.ModuleList(_two_convolutions(2 * width, width) for width in self.widths[:-1])
        self.head = nn.Conv3d(self.widths[0], out_channels * cell**3, 1)

    @property
    def multiple(self) -> int:
        """Each axis of the input is padded inside to a multiple of this."""
        return int(self.cell * 2 ** (len(self.widths) - 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map an image ``(B, C, D, H, W)`` of any size to logits ``(B, out_channels, D, H, W)``."""
        size = image.shape[2:]
        padding: list[int] = []
        for length in reversed(size):
            missing = -length % self.multiple
            padding += [missing // 2, missing - missing // 2]
        features = _to_cells(F.pad(image, padding), self.cell)
        skips: list[torch.Tensor] = []
        for level, block in enumerate(self.encoder):
            if level:
                features = F.max_pool3d(features, 2)
            features = block(features)
            skips.append(features)
        for level in reversed(range(len(self.widths) - 1)):
            features = F.interpolate(
                self.reduce[level](features), scale_factor=2, mode="trilinear", align_corners=False
            )
            features = self.decoder[level](torch.cat((skips[level], features), dim=1))
        logits = _from_cells(self.head(features), self.cell)
        starts = padding[4], padding[2], padding[0]
        return logits[
            :,
            :,
            starts[0] : starts[0] + size[0],
            starts[1] : starts[1] + size[1],
            starts[2] : starts[2] + size[2],
        ]


def build(config: NetworkConfig, out_channels: int = CHANNELS) -> UNet3D:
    """The network of a configuration, with random weights."""
    return UNet3D(config.widths, out_channels=out_channels, cell=config.cell)


def _to_cells(voxels: torch.Tensor, cell: int) -> torch.Tensor:
    """``(B, C, D, H, W)`` to ``(B, C * cell³, D / cell, H / cell, W / cell)``."""
    if cell == 1:
        return voxels
    batch, channels, *size = voxels.shape
    d, h, w = (length // cell for length in size)
    split = voxels.reshape(batch, channels, d, cell, h, cell, w, cell).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return split.reshape(batch, channels * cell**3, d, h, w)


def _from_cells(cells: torch.Tensor, cell: int) -> torch.Tensor:
    """The inverse of :func:`_to_cells`."""
    if cell == 1:
        return cells
    batch, channels, d, h, w = cells.shape
    split = cells.reshape(batch, channels // cell**3, cell, cell, cell, d, h, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return split.reshape(batch, channels // cell**3, d * cell, h * cell, w * cell)


def _two_convolutions(before: int, after: int) -> nn.Sequential:
    """Two 3x3x3 convolutions, each with batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [nn.Conv3d(channels, after, 3, padding=1, bias=False), nn.BatchNorm3d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
