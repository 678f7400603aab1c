"""Weights on disk, whole and damaged."""

from __future__ import annotations

import json
import pickle
import shutil

import pytest
import torch

from livf.lib.errors import ModelError
from livf.lib.segmentation import weights
from livf.lib.segmentation.config import ModelConfig, NetworkConfig
from livf.lib.segmentation.network import UNet3D

CONFIG = ModelConfig(NetworkConfig(widths=(2, 4)))


@pytest.fixture
def folder(tmp_path):
    """A model of its own for each test."""
    torch.manual_seed(0)
    weights.save_model(tmp_path / "model", UNet3D((2, 4)).state_dict(), CONFIG, {"training": {"seed": 0}})
    return tmp_path / "model"


def test_they_come_back_as_they_were_saved(folder):
    torch.manual_seed(0)
    expected = UNet3D((2, 4)).state_dict()
    model = weights.load_model(folder)
    assert model.config == CONFIG
    assert not model.network.training
    assert model.metadata["training"] == {"seed": 0}
    assert model.version.startswith("livf-unet-")
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(tensor, expected[name])


def test_other_weights_have_another_version(folder, tmp_path):
    torch.manual_seed(1)
    weights.save_model(tmp_path / "other", UNet3D((2, 4)).state_dict(), CONFIG, {})
    assert weights.load_model(folder).version != weights.load_model(tmp_path / "other").version


def test_the_environment_names_the_default(folder, monkeypatch):
    monkeypatch.setenv("LIVF_MODEL", str(folder))
    assert weights.load_model().version == weights.load_model(folder).version


def truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def become_a_pickle(path):
    path.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))


def empty(path):
    path.write_bytes(b"")


def remove(path):
    path.unlink()


def become_a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", [weights.WEIGHTS_NAME, weights.JSON_NAME])
@pytest.mark.parametrize("damage", [truncate, become_a_pickle, empty, remove, become_a_folder])
def test_every_damage_is_refused_and_names_the_file(folder, name, damage):
    damage(folder / name)
    with pytest.raises(ModelError) as caught:
        weights.load_model(folder)
    assert caught.value.where == str(folder / name)
    assert caught.value.remedy


def test_one_changed_bit_is_refused(folder):
    flip(folder / weights.WEIGHTS_NAME)
    with pytest.raises(ModelError, match="SHA-256"):
        weights.load_model(folder)


def relist(folder, content):
    """Put other weights in place, with the hash that fits them."""
    import hashlib

    (folder / weights.WEIGHTS_NAME).write_bytes(content)
    document = json.loads((folder / weights.JSON_NAME).read_text())
    document["weights"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / weights.JSON_NAME).write_text(json.dumps(document))


def test_a_pickle_is_never_loaded_even_with_the_right_hash(folder, tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "sprung"), "w")

    relist(folder, pickle.dumps(Trap()))
    with pytest.raises(ModelError, match="safetensors"):
        weights.load_model(folder)
    assert not (tmp_path / "sprung").exists()


def test_tensors_of_another_architecture_are_refused(folder, tmp_path):
    from safetensors.torch import save

    relist(folder, save(UNet3D((2, 8)).state_dict()))
    with pytest.raises(ModelError, match="has shape"):
        weights.load_model(folder)
    relist(folder, save(UNet3D((2, 4, 8)).state_dict()))
    with pytest.raises(ModelError, match="unknown tensor"):
        weights.load_model(folder)


def test_weights_that_are_not_numbers_are_refused(folder):
    from safetensors.torch import save

    state = UNet3D((2, 4)).state_dict()
    state["head.bias"][0] = float("nan")
    relist(folder, save(state))
    with pytest.raises(ModelError, match="not numbers"):
        weights.load_model(folder)


def test_saving_what_does_not_fit_leaves_the_old_model(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ModelError):
        weights.save_model(folder, UNet3D((2, 8)).state_dict(), CONFIG, {})
    with pytest.raises(ValueError, match=r"sha|weights"):
        weights.save_model(folder, UNet3D((2, 4)).state_dict(), CONFIG, {"weights": {}})
    with pytest.raises(ValueError, match=r"JSON|float"):
        weights.save_model(folder, UNet3D((2, 4)).state_dict(), CONFIG, {"metrics": float("nan")})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_model_folder_that_is_not_there(tmp_path):
    with pytest.raises(ModelError, match="no network weights"):
        weights.load_model(tmp_path / "nowhere")


def test_a_pair_of_two_saves_is_refused(folder, tmp_path):
    torch.manual_seed(1)
    weights.save_model(tmp_path / "other", UNet3D((2, 4)).state_dict(), CONFIG, {})
    shutil.copy(tmp_path / "other" / weights.WEIGHTS_NAME, folder)
    with pytest.raises(ModelError, match="SHA-256"):
        weights.load_model(folder)
