"""From file to file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from livf.lib.anatomy import CHANNELS
from livf.lib.errors import InputError, LivfError, NotFoundError, OutputError, UsageError
from livf.lib.images import read_image, read_label, write_image
from livf.lib.pipeline import segment_file, summary
from livf.lib.segmentation import Segmenter, save_model
from livf.lib.segmentation.config import ModelConfig, NetworkConfig, PreprocessConfig
from livf.lib.segmentation.network import UNet3D
from livf.lib.values import Segmentation, Volume

CONFIG = ModelConfig(
    NetworkConfig(widths=(4, 8)), PreprocessConfig(spacing_mm=2.0, box_shape=(32, 44, 44), field_shape=(32, 80, 80))
)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    """A small network with random weights."""
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, UNet3D((4, 8)).state_dict(), CONFIG, {})
    return Segmenter.load(folder, device="cpu")


@pytest.fixture
def volume():
    """A noisy image that is not symmetric in any way."""
    affine = np.asarray([[-2, 0, 0, 50], [0, 2, 0, -40], [0, 0, 2, -30], [0, 0, 0, 1]], dtype=np.float64)
    array = np.random.default_rng(0).integers(0, 1000, (48, 44, 30)).astype(np.int16)
    return Volume(array, affine)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_every_format_gives_the_same_label_on_its_own_grid(suffix, segmenter, volume, tmp_path):
    image, label = tmp_path / f"image{suffix}", tmp_path / f"label{suffix}"
    write_image(image, volume)
    result = segment_file(image, label, segmenter)
    written = read_label(label)
    np.testing.assert_array_equal(written.array, segmenter(volume).label)
    np.testing.assert_allclose(written.affine, volume.affine, atol=1e-5)
    np.testing.assert_array_equal(written.array, result.label)
    assert written.array.dtype == np.uint8


def test_probabilities_are_written_beside_it(segmenter, volume, tmp_path):
    import nibabel as nib

    write_image(tmp_path / "image.nii.gz", volume)
    segment_file(
        tmp_path / "image.nii.gz", tmp_path / "label.mha", segmenter, probabilities=tmp_path / "probable.nii.gz"
    )
    probable = np.asarray(nib.load(tmp_path / "probable.nii.gz").dataobj)
    assert probable.shape == (*volume.shape, CHANNELS)
    np.testing.assert_allclose(probable.sum(axis=-1), 1, atol=0.01)


@pytest.mark.parametrize(
    ("label", "probabilities", "kind"),
    [
        ("label.dcm", None, UsageError),
        ("label", None, UsageError),
        ("missing/label.nii.gz", None, OutputError),
        ("label.nii.gz", "probable.mha", UsageError),
        ("label.nii.gz", "missing/probable.nii.gz", OutputError),
    ],
)
def test_a_target_that_cannot_be_written_is_told_before_the_work(label, probabilities, kind, segmenter, tmp_path):
    told = []
    with pytest.raises(kind):
        segment_file(
            tmp_path / "never-read.nii.gz",
            tmp_path / label,
            segmenter,
            probabilities=tmp_path / probabilities if probabilities else None,
            progress=lambda stage, share: told.append(stage),
        )
    assert told == []
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_nothing(segmenter, tmp_path):
    with pytest.raises(NotFoundError):
        segment_file(tmp_path / "none.nii.gz", tmp_path / "label.nii.gz", segmenter)
    assert list(tmp_path.iterdir()) == []


def test_being_stopped_leaves_the_old_label(segmenter, volume, tmp_path):
    write_image(tmp_path / "image.nii.gz", volume)
    (tmp_path / "label.nii.gz").write_bytes(b"old")

    def stop(stage, share):
        if stage == "write":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment_file(tmp_path / "image.nii.gz", tmp_path / "label.nii.gz", segmenter, progress=stop)
    assert (tmp_path / "label.nii.gz").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.nii.gz", "label.nii.gz"]


def test_nothing_found_is_an_error_and_writes_nothing(volume, tmp_path):
    network = UNet3D((4, 8))
    state = {name: torch.zeros_like(tensor) for name, tensor in network.state_dict().items()}
    state["head.bias"][0] = 5.0  # background everywhere
    save_model(tmp_path / "model", state, CONFIG, {})
    write_image(tmp_path / "image.nii.gz", volume)
    with pytest.raises(InputError, match="no L4-L5 level"):
        segment_file(tmp_path / "image.nii.gz", tmp_path / "label.nii.gz", Segmenter.load(tmp_path / "model", "cpu"))
    assert not (tmp_path / "label.nii.gz").exists()


def test_a_damaged_image_names_its_file(segmenter, tmp_path):
    path = tmp_path / "image.nii.gz"
    path.write_bytes(b"no image at all")
    with pytest.raises(LivfError) as caught:
        segment_file(path, tmp_path / "label.nii.gz", segmenter)
    assert str(path) in caught.value.line
    assert not (tmp_path / "label.nii.gz").exists()


def test_the_summary_counts_millilitres():
    label = np.zeros((20, 20, 20), dtype=np.uint8)
    label[:10, :10, :10] = 1
    label[10:, :10, :5] = 3
    lines = summary(
        Segmentation(label, np.diag([-2.0, 1, 1, 1]), level_status="unclear", warnings=("missing_structure",))
    )
    assert lines[0].split() == ["L4", "vertebra", "2.0", "ml"]
    assert lines[1].split()[-2:] == ["0.0", "ml"]
    assert lines[2].split()[-2:] == ["1.0", "ml"]
    assert "unclear" in lines[3]
    assert "missing_structure" in lines[4]


def test_reading_back_is_what_the_server_would_read(segmenter, volume, tmp_path):
    write_image(tmp_path / "image.nrrd", volume)
    np.testing.assert_array_equal(segmenter(read_image(Path(tmp_path / "image.nrrd"))).label, segmenter(volume).label)
