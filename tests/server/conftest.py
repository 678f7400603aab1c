"""Real servers on free ports, over a folder of small images, good and bad."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("monailabel")

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.images import write_image
from livf.lib.server.child import running
from livf.lib.values import Volume

REPOSITORY = Path(__file__).parents[2]
SHAPE = (30, 36, 28)
#: Sagittal, tilted by 10 degrees, 2.4 mm.
_COS, _SIN = 2.4 * np.cos(np.radians(10)), 2.4 * np.sin(np.radians(10))
AFFINE = np.array([[0, 0, 2.4, -30], [-_COS, _SIN, 0, 40], [-_SIN, -_COS, 0, -410], [0, 0, 0, 1]], dtype=float)


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: Its address.
        studies: The folder it serves.
        received: The folder it puts temporary files in.
    """

    url: str
    studies: Path
    received: Path


def an_image(seed: int = 3) -> Volume:
    """A small oblique volume of noise with a bright block."""
    array = np.random.default_rng(seed).integers(0, 400, SHAPE).astype(np.int16)
    array[10:20, 10:25, 8:20] += 500
    return Volume(array, AFFINE)


@pytest.fixture
def a_label() -> np.ndarray:
    """A label with all three structures."""
    label = np.zeros(SHAPE, np.uint8)
    label[5:20, 8:14, 5:20], label[5:20, 14:17, 5:20], label[5:20, 17:24, 5:20] = L4.value, DISC.value, L5.value
    return label


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a small untrained network: what it finds means nothing, how it is served does."""
    import torch

    from livf.lib.segmentation.config import ModelConfig, NetworkConfig, PreprocessConfig
    from livf.lib.segmentation.network import UNet3D
    from livf.lib.segmentation.weights import save_model

    torch.manual_seed(4)
    config = ModelConfig(
        NetworkConfig(widths=(4, 8)),
        PreprocessConfig(spacing_mm=2.4, box_shape=(44, 60, 60), field_shape=(44, 108, 108)),
    )
    network = UNet3D(config.network.widths).eval()
    with torch.no_grad():
        # Without this one class wins everywhere, and there is no label to store.
        network.head.bias -= network(torch.randn(1, 1, *config.preprocess.box_shape)).mean((0, 2, 3, 4))
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, network.state_dict(), config, {"training": "none: random weights"})
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Iterator[Server]:
    """``livf serve`` as a user starts it."""
    studies, received = tmp_path_factory.mktemp("studies"), tmp_path_factory.mktemp("received")
    _fill(studies)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(received))
        with running(studies, "--port", "0", "--model", str(model_folder), "--device", "cpu") as url:
            yield Server(url, studies, received)


@pytest.fixture(scope="session")
def stock_server(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Iterator[Server]:
    """MONAI Label's own start command on our app folder."""
    studies, received = tmp_path_factory.mktemp("stock-studies"), tmp_path_factory.mktemp("stock-received")
    _fill(studies)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = REPOSITORY / "apps" / "livf"
    command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(app), "--studies", str(studies),
               "--host", "127.0.0.1", "--port", str(port), "--conf", "model", str(model_folder)]  # fmt: skip
    log = received / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "LIVF_DEVICE": "cpu"}
        )
        try:
            _await_port(port, process, log)
            yield Server(f"http://127.0.0.1:{port}", studies, received)
        finally:
            process.terminate()
            process.wait(30)


def _fill(studies: Path) -> None:
    for name in ("first.nii.gz", "second.mha", "third.nrrd"):
        write_image(studies / name, an_image())
    array = an_image().array.astype(np.float32)
    for name, bad in (
        ("bad-2d", array[:, :, 0]),
        ("bad-4d", np.stack([array, array], axis=3)),
        ("bad-nan", np.where(array > 300, np.nan, array)),
        ("bad-constant", np.full_like(array, 7)),
    ):
        nib.save(nib.Nifti1Image(bad, AFFINE), studies / f"{name}.nii.gz")
    (studies / "bad-text.nii.gz").write_text("this is no image")
    (studies / "bad-empty.mha").write_bytes(b"")
    (studies / "bad-cut.nii.gz").write_bytes((studies / "first.nii.gz").read_bytes()[:2000])


def _await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        if process.poll() is not None:
            pytest.fail(f"the stock command ended: {log.read_text()[-2000:]}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail(f"the stock command did not listen in time: {log.read_text()[-2000:]}")
