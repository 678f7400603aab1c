"""Configuration: parsed once, typed, and refused where it means nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from livf.lib.config import Config
from livf.lib.errors import UsageError


def test_nothing_given_is_all_defaults() -> None:
    assert Config.parse({}, {}) == Config()


def test_pairs_win_over_the_environment(tmp_path: Path) -> None:
    config = Config.parse({"device": "cuda:1"}, {"LIVF_DEVICE": "cpu", "LIVF_MODEL": str(tmp_path), "HOME": "/"})
    assert config == Config(model=tmp_path, device="cuda:1")


def test_empty_values_are_not_given() -> None:
    assert Config.parse({"device": ""}, {"LIVF_STATE": "  "}) == Config()


def test_unknown_key_is_one_line_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as error:
        Config.parse({"devise": "cpu"}, {})
    line = error.value.line
    assert line.startswith("--conf devise: there is no such setting; the settings are model, device, state, auth")


def test_unknown_variable_of_the_environment() -> None:
    with pytest.raises(UsageError, match=r"^LIVF_AUHT: there is no such setting; the variables are LIVF_AUTH, "):
        Config.parse({}, {"LIVF_AUHT": "true"})
    assert Config.parse({}, {"LIVF_TEST_DATA": "x", "LIVF_PORT": "1", "MONAI_LABEL_X": "1"}) == Config()


def test_keys_of_monai_label_are_let_through() -> None:
    assert Config.parse({"server_mode": "true"}, {}) == Config()


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu:0", "CPU"])
def test_devices_that_mean_nothing(device: str) -> None:
    with pytest.raises(UsageError, match="is not a device"):
        Config.parse({"device": device}, {})


def test_missing_model_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        Config.parse({"model": str(tmp_path / "none")}, {})


def test_pairs_make_the_same_configuration_again(tmp_path: Path) -> None:
    config = Config(model=tmp_path, device="mps", state=tmp_path / "state")
    assert Config.parse(config.pairs(), {}) == config


def test_state_is_in_the_studies_folder_unless_it_is_set(tmp_path: Path) -> None:
    assert Config().state_for(tmp_path) == tmp_path / ".livf"
    assert Config(state=tmp_path / "other").state_for(tmp_path) == tmp_path / "other"
