"""A whole cross-validation with the smoke preset: folds, resuming, tables; another one's folder is refused."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from livf.cli import main
from livf.lib.crossval import crossvalidate
from livf.lib.dataset import read_dataset
from livf.lib.errors import UsageError
from livf.lib.images import read_label
from livf.lib.training.presets import preset

SHORT = preset("smoke").changed({"epochs": 2})
PARTS = ("training", "validation", "test")


def start(dataset: Path, folder: Path, **options) -> tuple[str, ...]:
    return crossvalidate(
        read_dataset(dataset),
        folder,
        **({"config": SHORT, "folds": 2, "workers": 0, "device": "cpu", "say": lambda line: None} | options),
    )


@pytest.fixture(scope="module")
def done(scanned_twice: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """First the second fold alone, then all."""
    folder = tmp_path_factory.mktemp("crossval") / "cv"
    lines = start(scanned_twice, folder, only=2)
    assert "folds 1 are still to be run" in lines[0]
    assert not (folder / "fold_1").exists() and not (folder / "evaluation").exists()
    times = {path: path.stat().st_mtime_ns for path in (folder / "fold_2").rglob("*.nii.gz")}
    lines = start(scanned_twice, folder)
    assert {path: path.stat().st_mtime_ns for path in (folder / "fold_2").rglob("*.nii.gz")} == times
    assert any(line.startswith("test") for line in lines)
    return folder


def test_patients_never_straddle(scanned_twice: Path, done: Path) -> None:
    patients = {case.name: case.patient for case in read_dataset(scanned_twice).cases}
    document = json.loads((done / "folds.json").read_text())
    tested: list[str] = []
    for fold in document["folds"]:
        whose = [set(fold["patients"][part]) for part in PARTS]
        assert not (whose[0] & whose[1] or whose[0] & whose[2] or whose[1] & whose[2])
        assert set().union(*whose) == set(patients.values())
        for part, its in zip(PARTS, whose, strict=True):
            assert {patients[name] for name in fold["cases"][part]} == its
            # What was trained on and what was predicted is what was drawn.
            split = json.loads((done / f"fold_{fold['fold']}" / "split.json").read_text())
            assert split[part] == fold["cases"][part]
            predicted = (done / f"fold_{fold['fold']}" / "predictions" / part).glob("*.nii.gz")
            assert sorted(path.name.removesuffix(".nii.gz") for path in predicted) == fold["cases"][part]
        tested += fold["cases"]["test"]
    assert sorted(tested) == sorted(patients)


def test_predictions_lie_on_the_images_own_grid(scanned_twice: Path, done: Path) -> None:
    for case in read_dataset(scanned_twice).cases:
        for path in done.rglob(f"predictions/*/{case.name}.nii.gz"):
            found, truth = read_label(path), read_label(case.label)
            assert found.shape == truth.shape
            assert (found.affine == truth.affine).all()


def test_it_ends_in_the_papers_tables(done: Path) -> None:
    evaluation = done / "evaluation"
    assert (evaluation / "report.html").exists()
    rows = list(csv.DictReader((evaluation / "scores.csv").open()))
    assert {row["part"] for row in rows} == set(PARTS)
    assert {row["fold"] for row in rows} == {"1", "2"}
    table = "".join(path.read_text() for path in (evaluation / "tables").glob("*.md"))
    assert "raining" in table and "alidation" in table and "est" in table
    assert not (done / "cache").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": 1}, r"seed \(0, not 1\)"),
        ({"folds": 4}, "folds"),
        ({"config": SHORT.changed({"rate": 0.002})}, r"config.optimisation.rate \(0.02, not 0.002\)"),
        ({"only": 3}, "there is no fold 3"),
    ],
)
def test_another_cross_validation_is_not_mixed_in(scanned_twice: Path, done: Path, options: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        start(scanned_twice, done, **options)


def test_nor_is_another_data_set(scanned_twice: Path, done: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(scanned_twice, other)
    shutil.copyfile(other / "images" / "case01.nii.gz", other / "images" / "case02.nii.gz")
    with pytest.raises(UsageError, match="fingerprint"):
        start(other, done)
    moved = tmp_path / "moved"  # the same data elsewhere are the same data
    shutil.copytree(scanned_twice, moved)
    start(moved, done, only=1)


def test_the_command(scanned_twice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["crossval", str(scanned_twice), "-o", str(tmp_path), "--preset", "smoke", "--device", "cpu"]
    assert main([*command, "--folds", "5"]) == 2
    assert "8 patients are too few for 5 folds" in capsys.readouterr().err
    assert main([*command, "--folds", "2", "--fold", "1", "--epochs", "1", "--workers", "0"]) == 0
    assert "fold 1 is done" in capsys.readouterr().out
