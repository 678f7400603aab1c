"""Small networks and known images: a network that is a function of brightness makes every geometry exact to check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.segmentation import save_model
from livf.lib.segmentation.config import ModelConfig, NetworkConfig, PreprocessConfig
from livf.lib.segmentation.network import UNet3D
from livf.lib.values import Volume

#: A small grid, so that a run takes a fraction of a second: 64 x 88 x 88 mm.
SMALL = PreprocessConfig(spacing_mm=1.6, box_shape=(40, 55, 55), field_shape=(40, 100, 100))
WIDTHS = (4, 8)
#: Brightness of each structure in the known image; between two, a threshold of the network.
BRIGHTNESS = {L4.value: 100.0, DISC.value: 200.0, L5.value: 300.0}
#: Middle (RAS mm) and radii of the ellipsoids of the known image.
SHAPES = {
    L4.value: ((3.0, 4.0, 19.0), (14.0, 11.0, 7.0)),
    DISC.value: ((0.0, 5.0, 0.0), (16.0, 12.0, 4.0)),
    L5.value: ((-4.0, 2.0, -20.0), (13.0, 10.0, 8.0)),
}


def known_label(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """The truth at the middle of each voxel of a grid."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    label = np.zeros(shape, dtype=np.uint8)
    for value, (middle, radii) in SHAPES.items():
        label[(((world - middle) / np.asarray(radii)) ** 2).sum(axis=-1) < 1] = value
    return label


def known_volume(shape: tuple[int, int, int], affine: np.ndarray) -> Volume:
    """An image of the known shapes, with a little texture that has no symmetry."""
    label = known_label(shape, affine)
    image = np.zeros(shape, dtype=np.float32)
    for value, brightness in BRIGHTNESS.items():
        image[label == value] = brightness
    return Volume(image + np.random.default_rng(5).normal(0, 3, shape).astype(np.float32), affine, "known")


def centred(
    shape: tuple[int, int, int], sizes: tuple[float, float, float], turn: np.ndarray | None = None
) -> np.ndarray:
    """An affine whose middle lies at the origin."""
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turn is None else turn) @ np.diag(sizes)
    affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return affine


def reorder(volume: Volume, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Volume:
    """The same image with its array axes in another order and direction."""
    target = np.stack([np.asarray(axes), np.where(flips, -1, 1)], axis=1)
    array = nib.orientations.apply_orientation(volume.array, target)
    affine = volume.affine @ nib.orientations.inv_ornt_aff(target, volume.shape)
    return Volume(array, affine, volume.source)


def threshold_weights(cuts: tuple[float, float, float], sharp: float = 20.0) -> dict[str, torch.Tensor]:
    """Weights that make the class a function of the voxel's own z-score: one more at each cut."""
    network = UNet3D(WIDTHS)
    state = {name: torch.zeros_like(tensor) for name, tensor in network.state_dict().items()}
    for name, tensor in state.items():
        if name.endswith(("running_var", ".1.weight", ".4.weight")):
            tensor.fill_(1.0)
    first, second = state["encoder.0.0.weight"], state["encoder.0.3.weight"]
    first[0, 0, 1, 1, 1], first[1, 0, 1, 1, 1] = 1.0, -1.0  # the positive and the negative part of the z-score
    for convolution in (second, state["decoder.0.0.weight"], state["decoder.0.3.weight"]):
        convolution[0, 0, 1, 1, 1] = convolution[1, 1, 1, 1, 1] = 1.0
    for channel in range(4):
        state["head.weight"][channel, 0] = sharp * channel
        state["head.weight"][channel, 1] = -sharp * channel
        state["head.bias"][channel] = -sharp * sum(cuts[:channel])
    return state


@pytest.fixture(scope="session")
def small_volume() -> Volume:
    """The known image on a grid of the small network's voxel size, its field of view of the paper's kind."""
    shape = (60, 58, 38)
    return known_volume(shape, centred(shape, (1.6, 1.6, 1.6)))


@pytest.fixture(scope="session")
def threshold_model(tmp_path_factory: pytest.TempPathFactory, small_volume: Volume) -> Path:
    """Folder of a network that finds the known shapes by their brightness."""
    level = np.asarray([0.0, *BRIGHTNESS.values()])
    # The z-scores of the known image: mean and deviation over the box, which holds nearly the whole image.
    inside = small_volume.array[2:57, :46]
    scored = (level - inside.mean()) / inside.std()
    cuts = tuple(float(cut) for cut in (scored[1:] + scored[:-1]) / 2)
    folder = tmp_path_factory.mktemp("threshold")
    save_model(
        folder, threshold_weights((cuts[0], cuts[1], cuts[2])), ModelConfig(NetworkConfig(widths=WIDTHS), SMALL), {}
    )
    return folder


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a network with random weights: it depends on every neighbour, in no symmetric way."""
    torch.manual_seed(3)
    network = UNet3D(WIDTHS)
    folder = tmp_path_factory.mktemp("random")
    save_model(folder, network.state_dict(), ModelConfig(NetworkConfig(widths=WIDTHS), SMALL), {"seed": 3})
    return folder


@pytest.fixture(scope="session")
def small_config() -> PreprocessConfig:
    """The small grid."""
    return SMALL


@pytest.fixture(scope="session")
def make_known() -> Callable[..., tuple[Volume, np.ndarray]]:
    """Make the known image and its truth on any grid centred at the origin."""

    def make(
        shape: tuple[int, int, int], sizes: tuple[float, float, float], turn: np.ndarray | None = None
    ) -> tuple[Volume, np.ndarray]:
        affine = centred(shape, sizes, turn)
        return known_volume(shape, affine), known_label(shape, affine)

    return make


@pytest.fixture(scope="session")
def reordered() -> Callable[..., Volume]:
    """Give an image another order of its array axes."""
    return reorder
