"""A real identity provider on this machine."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jwt")


def _issuer_module() -> Any:
    spec = importlib.util.spec_from_file_location("livf_test_issuer", Path(__file__).with_name("issuer.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def issuer() -> Iterator[Any]:
    with _issuer_module().issuing() as running:
        yield running
