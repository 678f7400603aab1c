"""The table of people, and its files' checksums."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from livf.lib.synthesis.columns.column import Kind
from livf.lib.synthesis.columns.sources import ALS, LEVELS, SACRUM, SOURCES, disc_name, kind_of

ROOT = Path(__file__).resolve().parents[3]


def script(name: str) -> object:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_numbers_are_verses() -> None:
    numbers = SOURCES[0].numbers
    assert [numbers[n] for n in range(19, 25)] == ["T12", "L1", "L2", "L3", "L4", "L5"]
    assert tuple(numbers.values()) == LEVELS


def test_the_held_out_are_one_of_each_origin() -> None:
    assert {s.name for s in SOURCES if s.held_out} == {"verse008", "totalseg_x", "remus"}
    assert {s.origin for s in SOURCES} == {s.origin for s in SOURCES if s.held_out}


def test_names_and_kinds() -> None:
    assert disc_name("L5", SACRUM) == "L5-S1"
    assert (kind_of(SACRUM), kind_of("hip left"), kind_of("L3")) == (Kind.SACRUM, Kind.HIP, Kind.VERTEBRA)


def test_remus_axes_become_ras() -> None:
    # x anterior, y left, z superior.
    anterior, left, superior = np.eye(3)
    as_ras = [np.array([sign * point[of] for of, sign in ALS]) for point in (anterior, left, superior)]
    assert np.array_equal(as_ras, [[0, 1, 0], [-1, 0, 0], [0, 0, 1]])


def test_every_file_has_a_checksum_and_an_origin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch = script("fetch_anatomy")
    assert set(fetch.CHECKSUMS) == {name for source in SOURCES for name in source.files}
    (tmp_path / "remus_L4.stl").write_bytes(b"another")
    assert fetch.main([str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "different: " + str(tmp_path / "remus_L4.stl") in said
    assert "missing: " + str(tmp_path / "verse005_ct.nii.gz") in said
    for data_set in fetch.DATA_SETS:
        assert data_set.where in said and data_set.licence in said
