"""The tiny data set of the training's tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def _training_conftest() -> ModuleType:
    path = Path(__file__).parents[1] / "training" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def scanned_twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight patients, one of whom has three cases."""
    folder: Path = _training_conftest().write_tiny_dataset(tmp_path_factory.mktemp("tiny"), 8, scans=3)
    return folder
