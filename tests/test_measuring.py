"""From a label file to numbers: the library's way and the command's, with everything a user may hand over."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from livf.lib.anatomy import CHANNELS, L5
from livf.lib.errors import InputError
from livf.lib.export.document import schema
from livf.lib.images import write_label, write_probabilities
from livf.lib.measuring import measure_file, table
from livf.lib.synthesis.phantom import Grid, Phantom, make_phantom
from livf.lib.synthesis.truth import foramen_truth


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(3, grid=Grid((160, 160, 120), 0.8, (0.0, -8.0, 0.0)))


@pytest.fixture(scope="module")
def label(phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("measuring") / "case.nii.gz"
    write_label(path, phantom.label, phantom.affine)
    return path


def livf(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``livf measure``; end in failure when it brings torch or monailabel."""
    code = (
        "import sys; from livf.cli import main; status = main(); "
        "assert not {'torch', 'monai', 'monailabel'} & set(sys.modules); sys.exit(status)"
    )
    command = [sys.executable, "-c", code, "measure", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_numbers_are_those_of_the_truth(phantom: Phantom, label: Path) -> None:
    measured = measure_file(label)
    for side in ("left", "right"):
        truth, numbers = foramen_truth(phantom.spine, side), measured.measurement.foramina[side].numbers
        assert numbers is not None
        assert numbers.area_mm2 == pytest.approx(truth.area_mm2, rel=0.03)
        assert numbers.height_mm == pytest.approx(truth.height_mm, abs=0.4)
        assert numbers.width_mm == pytest.approx(truth.width_mm, abs=0.5)


def test_the_table_shows_both_sides_and_the_reasons(label: Path, phantom: Phantom, tmp_path: Path) -> None:
    lines = table(measure_file(label).measurement)
    assert "left" in lines[0]
    assert lines[1].count("±") == 2
    cut = np.where(phantom.label == L5.value, 0, phantom.label).astype(np.uint8)
    write_label(tmp_path / "cut.nii.gz", cut, phantom.affine)
    refused = "\n".join(table(measure_file(tmp_path / "cut.nii.gz").measurement))
    assert "±" not in refused
    assert refused.count("not measured: A vertebra or the disc is not in the label. (missing_structure)") == 2


def test_probabilities_widen_the_spread_and_must_fit(phantom: Phantom, label: Path, tmp_path: Path) -> None:
    one_hot = (phantom.label[None] == np.arange(CHANNELS)[:, None, None, None]).astype(np.float32)
    unsure = 0.4 * one_hot + 0.6 / CHANNELS
    write_probabilities(tmp_path / "p.nii.gz", unsure, phantom.affine)
    plain = measure_file(label).measurement.left.sd["area_mm2"]
    assert measure_file(label, probabilities=tmp_path / "p.nii.gz").measurement.left.sd["area_mm2"] >= plain
    moved = phantom.affine.copy()
    moved[0, 3] += 5
    write_probabilities(tmp_path / "moved.nii.gz", unsure, moved)
    with pytest.raises(InputError, match="grid"):
        measure_file(label, probabilities=tmp_path / "moved.nii.gz")


def test_the_command_prints_a_table_or_the_document(label: Path, tmp_path: Path) -> None:
    shown = livf(label, "-o", tmp_path / "new" / "folder")
    assert shown.returncode == 0, shown.stderr
    assert "height (FH), mm" in shown.stdout
    assert "research use" in shown.stdout
    printed = livf(label, "--json", "--image", "study.nii.gz")
    assert printed.returncode == 0
    content = json.loads(printed.stdout)
    jsonschema.validate(content, schema())
    assert content["case"] == "study"
    assert content["level_status"] == "given"
    stored = json.loads((tmp_path / "new" / "folder" / "case.json").read_text())
    assert stored["foramina"] == content["foramina"]


def test_a_level_without_numbers_ends_in_one(phantom: Phantom, tmp_path: Path) -> None:
    cut = np.where(phantom.label == L5.value, 0, phantom.label).astype(np.uint8)
    write_label(tmp_path / "cut.nii.gz", cut, phantom.affine)
    done = livf(tmp_path / "cut.nii.gz", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["foramina"]["left"] == {"status": "refused", "reasons": ["missing_structure"]}


def test_bad_files_are_one_line(label: Path, tmp_path: Path) -> None:
    (tmp_path / "text.nii.gz").write_text("hello")
    for arguments in ((tmp_path / "text.nii.gz",), (tmp_path / "none.nii.gz",), (label, "--probabilities", label)):
        done = livf(*arguments)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith("livf: error: ")
        assert done.stderr.count("\n") == 1
    blocked = tmp_path / "file"
    blocked.write_text("x")
    done = livf(label, "-o", blocked)
    assert done.returncode == 1
    assert done.stderr.startswith(f"livf: error: {blocked}")
