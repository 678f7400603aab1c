"""The raw data set of nnU-Net, and the way back."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from livf.cli import main
from livf.lib.dataset import open_dataset, read_case_label, read_dataset
from livf.lib.dataset.importing import import_dataset
from livf.lib.dataset.nnunet import export_nnunet
from livf.lib.errors import OutputError, UsageError


@pytest.fixture
def exported(dataset, tmp_path) -> Path:
    (dataset / "cases.csv").write_text("case,patient,group,age,truth\ncase0,p,a,50,x\ncase1,p,a,50,x\ncase2,q,b,60,x\n")
    return export_nnunet(read_dataset(dataset), tmp_path / "raw", number=7, name="Spine", progress=False)


def test_the_folder_is_as_nnunet_documents_it(exported, dataset) -> None:
    assert exported.name == "Dataset007_Spine"
    assert sorted(path.relative_to(exported).as_posix() for path in exported.rglob("*.nii.gz")) == [
        *(f"imagesTr/case{n}_0000.nii.gz" for n in range(3)),
        *(f"labelsTr/case{n}.nii.gz" for n in range(3)),
    ]
    described = json.loads((exported / "dataset.json").read_text())
    assert described["labels"] == {"background": 0, "L4": 1, "disc_L4_5": 2, "L5": 3}
    assert described["numTraining"] == 3
    assert described["file_ending"] == ".nii.gz"
    assert described["channel_names"] == {"0": "MRI"}
    for n in range(3):
        for theirs, ours in ((f"imagesTr/case{n}_0000", f"images/case{n}"), (f"labelsTr/case{n}", f"labels/case{n}")):
            first, second = nib.load(exported / f"{theirs}.nii.gz"), nib.load(dataset / f"{ours}.nii.gz")
            assert np.array_equal(np.asarray(first.dataobj), np.asarray(second.dataobj))
            assert np.allclose(first.affine, second.affine)


def test_it_is_read_back_with_patients_and_groups(exported, dataset) -> None:
    back, first = open_dataset(exported, progress=False), read_dataset(dataset)
    assert [(c.name, c.patient, c.group) for c in back.cases] == [(c.name, c.patient, c.group) for c in first.cases]
    assert [dict(c.columns) for c in back.cases] == [{"age": age} for age in ("50", "50", "60")]


def test_it_is_imported_back(exported, dataset, tmp_path) -> None:
    report = import_dataset("nnunet", exported, tmp_path / "back", progress=False)
    assert report.imported == ("case0", "case1", "case2")
    for back, first in zip(open_dataset(tmp_path / "back").cases, read_dataset(dataset).cases, strict=True):
        assert (back.patient, back.group, back.columns["age"]) == (first.patient, first.group, first.columns["age"])
        assert np.array_equal(read_case_label(back).label, read_case_label(first).label)


def test_what_cannot_be_written_is_refused(exported, dataset, tmp_path) -> None:
    data = read_dataset(dataset)
    with pytest.raises(OutputError, match="holds files already"):
        export_nnunet(data, tmp_path / "raw", number=7, name="Spine")
    with pytest.raises(UsageError, match="not a number"):
        export_nnunet(data, tmp_path, number=1000)
    with pytest.raises(UsageError, match="letters"):
        export_nnunet(data, tmp_path, name="../x")


def test_the_commands(dataset, tmp_path, capsys) -> None:
    assert main(["data", "check", str(dataset)]) == 0
    assert "3 cases, 3 patients; nothing is wrong" in capsys.readouterr().out
    assert main(["data", "export", "nnunet", str(dataset), "-o", str(tmp_path / "raw"), "--id", "12"]) == 0
    raw = tmp_path / "raw" / "Dataset012_LIVF"
    assert capsys.readouterr().out == f"{raw}: 3 cases\n"
    assert main(["data", "import", "nnunet", str(raw), "-o", str(tmp_path / "back")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'back'}: 3 imported, 0 set aside\n"
    assert main(["data", "import", "nnunet", str(raw), "-o", str(tmp_path / "back")]) == 1
    assert "holds files already" in capsys.readouterr().err


def test_the_check_names_each_fault_on_a_line_of_its_own(dataset, capsys) -> None:
    (dataset / "labels" / "case0.nii.gz").unlink()
    (dataset / "images" / "case1.nii.gz").write_bytes(b"no image")
    assert main(["data", "check", str(dataset)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("livf: error: ")] == lines
    assert len(lines) == 2
