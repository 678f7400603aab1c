"""``livf segment`` as a user runs it: another process, its output, its exit status, what it leaves."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from livf.lib.images import read_label, write_image
from livf.lib.segmentation import save_model
from livf.lib.segmentation.config import ModelConfig, NetworkConfig, PreprocessConfig
from livf.lib.segmentation.network import UNet3D
from livf.lib.values import Volume

RUN = [sys.executable, "-c", "import sys; from livf.cli import main; sys.exit(main())", "segment"]


def livf(*arguments, **environment):
    """Run ``livf segment``."""
    return subprocess.run(
        [*RUN, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small network with random weights."""
    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("model")
    config = ModelConfig(
        NetworkConfig(widths=(4, 8)), PreprocessConfig(spacing_mm=2.0, box_shape=(32, 44, 44), field_shape=(32, 80, 80))
    )
    save_model(folder, UNet3D((4, 8)).state_dict(), config, {})
    return folder


@pytest.fixture
def image(tmp_path):
    """A noisy image file."""
    affine = np.asarray([[-2, 0, 0, 50], [0, 2, 0, -40], [0, 0, 2, -30], [0, 0, 0, 1]], dtype=np.float64)
    path = tmp_path / "image.nii.gz"
    write_image(path, Volume(np.random.default_rng(0).integers(0, 1000, (48, 44, 30)).astype(np.int16), affine))
    return path


def test_it_writes_the_label_and_says_what_it_did(model, image, tmp_path):
    label = tmp_path / "label.nrrd"
    extras = ("--probabilities", tmp_path / "p.nii.gz", "--picture", tmp_path / "p.png")
    done = livf(image, "-o", label, "--model", model, "--device", "cpu", *extras)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no progress where no one watches
    assert "on cpu" in done.stdout
    assert "L4 vertebra" in done.stdout
    assert "assumed" in done.stdout
    assert str(label) in done.stdout
    assert "research use" in done.stdout
    assert read_label(label).array.any()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.nii.gz", "label.nrrd", "p.nii.gz", "p.png"]
    assert Image.open(tmp_path / "p.png").format == "PNG"


def test_the_environment_names_model_and_device(model, image, tmp_path):
    done = livf(image, "-o", tmp_path / "label.mha", "--level-at=0,0,0", LIVF_MODEL=str(model), LIVF_DEVICE="cpu")
    assert done.returncode == 0, done.stderr
    assert "at the point that was given" in done.stdout


def one_line(done, status):
    """A failure: one line, no traceback, the exit status."""
    assert done.returncode == status, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("livf: error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_failures_are_one_line_and_leave_nothing(model, image, tmp_path):
    label = tmp_path / "label.nii.gz"
    (tmp_path / "text.nii.gz").write_text("hello")
    flat = tmp_path / "thin.nii.gz"
    write_image(
        flat,
        Volume(np.random.default_rng(0).integers(0, 9, (200, 200, 10)).astype(np.int16), np.diag([0.8, 0.8, 0.8, 1.0])),
    )
    before = sorted(path.name for path in tmp_path.iterdir())
    options = ("-o", label, "--model", model, "--device", "cpu")
    assert "no such file" in one_line(livf(tmp_path / "none.nii.gz", *options), 1)
    assert "text.nii.gz" in one_line(livf(tmp_path / "text.nii.gz", *options), 1)
    assert "thin.nii.gz: covers 8 mm" in one_line(livf(flat, *options), 1)
    assert "outside the image" in one_line(livf(image, *options, "--level-at", "0,0,999"), 2)
    assert "folder does not exist" in one_line(livf(image, "-o", tmp_path / "none" / "label.nii.gz"), 1)
    assert ".png" in one_line(livf(image, *options, "--picture", tmp_path / "p.jpg"), 2)
    assert ".nrrd" in one_line(livf(image, "-o", tmp_path / "label.png"), 2)
    assert "no network weights" in one_line(livf(image, "-o", label, "--model", tmp_path, "--device", "cpu"), 1)
    assert "cuda:99" in one_line(livf(image, "-o", label, "--model", model, "--device", "cuda:99"), 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_wrong_usage_is_told_by_the_parser(image, tmp_path):
    assert livf(image).returncode == 2
    done = livf(image, "-o", tmp_path / "label.nii.gz", "--level-at", "1,2")
    assert done.returncode == 2
    assert "R,A,S" in done.stderr


@pytest.mark.skipif(not os.path.isdir("/dev/pts"), reason="needs a pseudo-terminal")
def test_a_terminal_sees_progress(model, image, tmp_path):
    import pty

    leader, follower = pty.openpty()
    done = subprocess.run(
        [*RUN, image, "-o", tmp_path / "label.nii.gz", "--model", model, "--device", "cpu"],
        stdout=subprocess.PIPE,
        stderr=follower,
        timeout=120,
        check=False,
    )
    os.close(follower)
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert done.returncode == 0
    for stage in ("load the network", "read", "network", "write"):
        assert stage in shown
