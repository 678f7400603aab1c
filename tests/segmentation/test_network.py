"""The 3D U-Net: any size in, the same size out, and the 1x1x1 convolution before the upsampling changes nothing."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from livf.lib.segmentation.config import NetworkConfig
from livf.lib.segmentation.network import UNet3D, build
from livf.lib.segmentation.runtime import fold


@pytest.mark.parametrize("size", [(16, 16, 16), (17, 9, 23), (1, 5, 40), (13, 18, 18)])
def test_any_size_comes_back(size: tuple[int, int, int]) -> None:
    network = UNet3D((4, 8, 16)).eval()
    with torch.inference_mode():
        assert network(torch.randn(2, 1, *size)).shape == (2, 4, *size)


def test_padding_inside_does_not_move_the_image() -> None:
    """A network that only passes brightness on gives it back at the same voxel, whatever the padding."""
    network = UNet3D((2, 2), out_channels=1).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for block in (network.encoder[0], network.decoder[0]):
            for convolution, norm in ((block[0], block[1]), (block[3], block[4])):
                convolution.weight[0, 0, 1, 1, 1] = 1
                norm.weight.fill_(1)
        network.head.weight[0, 0] = 1
        image = torch.rand(1, 1, 7, 10, 5)
        torch.testing.assert_close(network(image), image, rtol=1e-4, atol=1e-4)


def test_reducing_before_upsampling_equals_reducing_after() -> None:
    reduce = UNet3D((4, 8)).reduce[0]
    features = torch.randn(1, 8, 4, 5, 6)

    def up(value: torch.Tensor) -> torch.Tensor:
        return F.interpolate(value, scale_factor=2, mode="trilinear", align_corners=False)

    torch.testing.assert_close(up(reduce(features)), reduce(up(features)), rtol=1e-4, atol=1e-5)


def test_one_level_is_refused() -> None:
    with pytest.raises(ValueError, match="two levels"):
        UNet3D((8,))


@pytest.mark.parametrize("size", [(16, 16, 16), (17, 9, 23), (1, 5, 40)])
def test_any_size_comes_back_from_cells(size: tuple[int, int, int]) -> None:
    network = build(NetworkConfig("unet3d_cells", (4, 8))).eval()
    assert network.multiple == 4
    image = torch.randn(2, 1, *size)
    with torch.inference_mode():
        found = network(image)
        assert found.shape == (2, 4, *size)
        fold(network)
        torch.testing.assert_close(network(image), found, rtol=1e-3, atol=1e-4)


def test_the_voxels_of_a_cell_come_back_where_they_were() -> None:
    """Cells that are only passed on give the image, voxel by voxel."""
    network = UNet3D((8, 8), out_channels=1, cell=2).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for block in (network.encoder[0], network.decoder[0]):
            for convolution, norm in ((block[0], block[1]), (block[3], block[4])):
                for channel in range(8):
                    convolution.weight[channel, channel, 1, 1, 1] = 1
                norm.weight.fill_(1)
        # The centre of a 3x3x3 head, or the only voxel of a 1x1x1 one.
        middle = tuple(size // 2 for size in network.head.weight.shape[2:])
        for channel in range(8):
            network.head.weight[(channel, channel, *middle)] = 1
        image = torch.rand(1, 1, 7, 10, 5)
        torch.testing.assert_close(network(image), image, rtol=1e-4, atol=1e-4)
