"""A bundle: what it holds, that it runs without livf to the label of livf, and what is refused."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from livf.cli import main
from livf.lib.images import read_image, read_label
from livf.lib.segmentation import Segmenter, load_model
from livf.lib.segmentation.network import build
from livf.lib.training.bundle import export_bundle

from .conftest import write_model

#: What MONAI's schema of 2024-07-25 requires, with the JSON type of each.
REQUIRED = {
    **dict.fromkeys(("schema", "version", "monai_version", "pytorch_version", "numpy_version", "task"), str),
    **dict.fromkeys(("description", "authors", "copyright", "data_source", "data_type", "image_classes"), str),
    **dict.fromkeys(("label_classes", "pred_classes", "intended_use"), str),
    **dict.fromkeys(("changelog", "required_packages_version", "eval_metrics", "network_data_format"), dict),
    "references": list,
}
TENSOR = {"type": str, "format": str, "num_channels": int, "spatial_shape": list, "dtype": str, "value_range": list,
          "is_patch_data": bool, "channel_def": dict}  # fmt: skip


@pytest.fixture(scope="module")
def bundle(model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_bundle(model, tmp_path_factory.mktemp("bundles") / "livf")


def test_the_layout_is_a_bundles(bundle) -> None:
    assert sorted(path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()) == [
        "LICENSE",
        "configs/inference.json",
        "configs/logging.conf",
        "configs/metadata.json",
        "docs/README.md",
        "models/model.pt",
        "scripts/__init__.py",
        "scripts/images.py",
        "scripts/network.py",
        "scripts/resample.py",
        "scripts/transforms.py",
    ]
    assert "Apache License" in (bundle / "LICENSE").read_text()
    assert not list(bundle.parent.glob(".writing*"))


def test_the_same_network_gives_the_same_bytes(bundle, model, tmp_path) -> None:
    again = export_bundle(model, tmp_path / "again")
    for path in filter(Path.is_file, bundle.rglob("*")):
        assert path.read_bytes() == (again / path.relative_to(bundle)).read_bytes(), path


def test_the_metadata_has_what_the_schema_requires(bundle, model) -> None:
    described = json.loads((bundle / "configs" / "metadata.json").read_text())
    for name, kind in REQUIRED.items():
        assert isinstance(described[name], kind), name
    formats = described["network_data_format"]
    tensors = [formats["inputs"]["image"], formats["outputs"]["pred"], formats["post_processed_outputs"]["pred"]]
    for tensor in tensors:
        for name, kind in TENSOR.items():
            assert isinstance(tensor[name], kind), name
    assert described["name"] == load_model(model).version
    assert tensors[0]["spatial_shape"] == [40, 55, 55]
    assert tensors[1]["channel_def"] == {"0": "background", "1": "L4", "2": "disc_L4_5", "3": "L5"}
    assert described["required_packages_version"].keys() == {"fire", "nibabel", "pytorch-ignite", "scipy"}


@pytest.mark.parametrize("architecture", ["unet3d", "unet3d_cells"])
def test_the_copied_network_is_the_network(architecture, tmp_path) -> None:
    model = load_model(write_model(tmp_path / "model", architecture))
    bundle = export_bundle(tmp_path / "model", tmp_path / "bundle")
    source = (bundle / "scripts" / "network.py").read_text()
    assert "livf.lib" not in source
    options = json.loads((bundle / "configs" / "inference.json").read_text())["network_def"]
    assert options.pop("_target_") == "scripts.network.UNet3D"
    copied = runpy.run_path(str(bundle / "scripts" / "network.py"))["UNet3D"](**options)
    copied.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    image = torch.randn(1, 1, 21, 34, 27)
    ours = build(model.config.network).eval()
    ours.load_state_dict(model.network.state_dict())
    with torch.no_grad():
        assert torch.equal(copied.eval()(image), ours(image))


def write_images(folder: Path) -> dict[str, Path]:
    """Noise, on the network's grid and off it: cut and padded by the box, turned, flipped, oblique, its type any."""
    rng = np.random.default_rng(4)
    turn = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1.0]])
    kinds = {
        "large": ((64, 96, 39), np.eye(3), np.int16),
        "thick": ((22, 90, 60), np.eye(3) @ np.diag([2.5, 0.7, 0.6]), np.int16),
        "small": ((42, 30, 33), np.eye(3)[:, [1, 0, 2]], np.float32),
        "sagittal": ((58, 37, 41), np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.uint8),
        "oblique": ((61, 57, 35), turn, np.float64),
    }
    folder.mkdir()
    paths = {}
    for name, (shape, axes, kind) in kinds.items():
        affine = np.eye(4)
        affine[:3, :3] = axes * 1.6
        affine[:3, 3] = (-40, 12.5, 7)
        paths[name] = folder / f"{name}.nii.gz"
        array = nib.Nifti1Image(rng.normal(120, 30, shape).clip(0, 255).astype(kind), affine)
        array.set_data_dtype(kind)
        nib.save(array, paths[name])
    # A fourth axis of one voxel, as some converters leave it.
    turned = nib.load(paths["sagittal"])
    nib.save(nib.Nifti1Image(np.asarray(turned.dataobj)[..., None], turned.affine), paths["sagittal"])
    nib.save(nib.Nifti1Image(np.zeros((9, 9, 9), np.uint8), np.eye(4)), folder / "large_label.nii.gz")
    return paths


@pytest.fixture
def hidden(tmp_path) -> dict[str, str]:
    """An environment in which livf cannot be imported."""
    blocker = tmp_path / "blocker" / "livf"
    blocker.mkdir(parents=True)
    (blocker / "__init__.py").write_text("raise ImportError('livf is hidden')\n")
    return os.environ | {"PYTHONPATH": str(blocker.parent), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def start(*arguments: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_it_runs_without_livf_to_the_same_labels(bundle, model, hidden, tmp_path) -> None:
    blocked = start("-c", "import livf", folder=bundle, environment=hidden)
    assert blocked.returncode == 1
    assert "livf is hidden" in blocked.stderr
    paths = write_images(tmp_path / "images")
    run = ("-m", "monai.bundle", "run", "--config_file", "configs/inference.json")
    options = "--dataset_dir", str(tmp_path / "images"), "--output_dir", str(tmp_path / "labels")
    done = start(*run, *options, folder=bundle, environment=hidden)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.name for path in (tmp_path / "labels").iterdir()} == {f"{name}_label.nii.gz" for name in paths}
    segmenter = Segmenter.load(model, device="cpu")
    for name, path in paths.items():
        image = read_image(path)
        expected, found = segmenter(image).label, read_label(tmp_path / "labels" / f"{name}_label.nii.gz")
        assert len(np.unique(expected)) >= 3
        assert found.array.shape == image.shape
        assert np.allclose(found.affine, image.affine, atol=1e-5)
        assert np.mean(found.array != expected) <= 0.001
        assert np.count_nonzero(found.array != expected) <= 0.001 * np.count_nonzero(expected)
    # The same with a point given, in an image that could not be used without.
    tall = tmp_path / "tall.nii.gz"
    nib.save(
        nib.Nifti1Image(
            np.random.default_rng(5).normal(0, 1, (60, 60, 70)).astype(np.float32), np.diag([1.6] * 3 + [1])
        ),
        tall,
    )
    options = "--image", str(tall), "--output_dir", str(tmp_path / "tall")
    refused = start(*run, *options, folder=bundle, environment=hidden)
    assert refused.returncode != 0
    assert "covers 112 mm from top to bottom" in refused.stderr
    assert not (tmp_path / "tall").exists()
    done = start(*run, *options, "--level_at", "[50.1,40.2,70.3]", folder=bundle, environment=hidden)
    assert done.returncode == 0, done.stderr[-3000:]
    expected = segmenter(read_image(tall), level_at=(50.1, 40.2, 70.3)).label
    found = read_label(tmp_path / "tall" / "tall_label.nii.gz").array
    assert np.count_nonzero(found != expected) <= 0.001 * np.count_nonzero(expected)


@pytest.mark.slow
def test_monai_verifies_the_network_against_the_metadata(bundle, hidden) -> None:
    files = "--meta_file", "configs/metadata.json", "--config_file", "configs/inference.json"
    command = ("-m", "monai.bundle", "verify_net_in_out", "network_def", *files, "--device", "cpu")
    done = start(*command, folder=bundle, environment=hidden)
    assert done.returncode == 0, done.stderr[-3000:]
    wrong = start(*command, "--network_def#out_channels", "5", folder=bundle, environment=hidden)
    assert wrong.returncode != 0
    assert "output channel number" in wrong.stderr


def finished_run(folder: Path, model: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "DATA_CARD.md").write_text("# Data card\n")
    (folder / "model").mkdir()
    for path in model.iterdir():
        (folder / "model" / path.name).write_bytes(path.read_bytes())
    (folder / "model" / "MODEL_CARD.md").write_text("# Model card: mine\n\nWhat it is.\n")
    return folder


def test_a_run_and_the_shipped_version_by_its_name(model, tmp_path, capsys) -> None:
    run = finished_run(tmp_path / "run", model)
    assert main(["export", "bundle", str(run), "-o", str(tmp_path / "a" / "of_run")]) == 0
    printed = capsys.readouterr().out
    assert str(tmp_path / "a" / "of_run") in printed
    assert "monai.bundle run" in printed
    page = (tmp_path / "a" / "of_run" / "docs" / "README.md").read_text()
    assert page.startswith("# Model card: mine\n")
    assert "## As a MONAI bundle" in page
    assert (tmp_path / "a" / "of_run" / "docs" / "DATA_CARD.md").read_text() == "# Data card\n"
    version = load_model(None).version
    for number, name in enumerate(("livf-unet", version)):
        export_bundle(name, tmp_path / str(number))
        described = json.loads((tmp_path / str(number) / "configs" / "metadata.json").read_text())
        assert described["name"] == version
        assert described["authors"] == "The livf developers"
    # A model without a card says so.
    export_bundle(model, tmp_path / "bare")
    assert "came without a card" in (tmp_path / "bare" / "docs" / "README.md").read_text()


def test_what_is_no_model_is_refused_and_leaves_nothing(model, tmp_path, capsys) -> None:
    empty, unfinished, crossval, damaged = (tmp_path / name for name in ("empty", "unfinished", "crossval", "damaged"))
    for folder in (empty, unfinished, crossval / "fold_1", damaged):
        folder.mkdir(parents=True)
    (unfinished / "config.json").write_text("{}")
    for path in model.iterdir():
        (damaged / path.name).write_bytes(path.read_bytes()[:-9] + b"0" * 9)
    wrong = {
        str(tmp_path / "none"): "there is no such model",
        "livf-unet-000000000000": f"the version that livf comes with is {load_model(None).version}",
        str(empty): "holds no network weights",
        str(unfinished): "holds a training that is not finished",
        str(crossval): "give one of its folds",
        str(damaged): "is damaged",
        str(model / "livf-unet.json"): "is a file",
    }
    for name, told in wrong.items():
        assert main(["export", "bundle", name, "-o", str(tmp_path / "out" / "bundle")]) == 1
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
        assert not list((tmp_path / "out").iterdir()) if (tmp_path / "out").exists() else True


def test_a_target_that_holds_something_is_left_alone(model, tmp_path, capsys) -> None:
    target = tmp_path / "bundle"
    target.mkdir()
    (target / "mine.txt").write_text("x")
    assert main(["export", "bundle", str(model), "-o", str(target)]) == 1
    assert "holds files already" in capsys.readouterr().err
    assert [path.name for path in target.iterdir()] == ["mine.txt"]
    assert main(["export", "bundle", str(model), "-o", str(target / "mine.txt")]) == 1
    assert "is a file" in capsys.readouterr().err
    (target / "mine.txt").unlink()
    assert main(["export", "bundle", str(model), "-o", str(target)]) == 0
