"""The layouts and the table of a data set."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from livf.lib.dataset import DatasetError, open_dataset, read_case_image, read_case_label, read_dataset


def names(folder: Path) -> list[str]:
    return [case.name for case in open_dataset(folder, progress=False).cases]


def test_own_layout_is_read_in_order_and_each_case_is_its_own_patient(dataset) -> None:
    found = read_dataset(dataset)
    assert [case.name for case in found.cases] == ["case0", "case1", "case2"]
    assert found.patients == ("case0", "case1", "case2")
    assert all(case.group is None and case.numbering is None for case in found.cases)
    assert found.cases[1].image == dataset / "images" / "case1.nii.gz"
    assert names(dataset) == ["case0", "case1", "case2"]


@pytest.mark.parametrize("ending", ["_label", "_seg"])
def test_flat_pairs(dataset, tmp_path, ending) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for seed in range(3):
        shutil.copy(dataset / "images" / f"case{seed}.nii.gz", flat)
        shutil.copy(dataset / "labels" / f"case{seed}.nii.gz", flat / f"case{seed}{ending}.nii.gz")
    assert names(flat) == ["case0", "case1", "case2"]


def test_a_studies_folder_may_hold_images_that_nobody_labelled_yet(dataset, tmp_path, picture, saved) -> None:
    studies = tmp_path / "studies"
    for seed in range(2):
        (studies / "labels" / "final").mkdir(parents=True, exist_ok=True)
        shutil.copy(dataset / "images" / f"case{seed}.nii.gz", studies)
        shutil.copy(dataset / "labels" / f"case{seed}.nii.gz", studies / "labels" / "final")
    saved(studies / "new.nii.gz", picture(9))
    saved(studies / "labels" / "original" / "new.nii.gz", picture(9))
    found = read_dataset(studies)
    assert [case.name for case in found.cases] == ["case0", "case1"]
    assert [path.name for path in found.unlabelled] == ["new.nii.gz"]
    assert names(studies) == ["case0", "case1"]


def test_nnunet_labels_are_mapped_by_the_names_in_dataset_json(tmp_path, spine, picture, saved) -> None:
    raw = tmp_path / "Dataset501_Spine"
    saved(raw / "imagesTr" / "a_0000.nii.gz", picture(0))
    saved(raw / "labelsTr" / "a.nii.gz", spine({"L3": 1, "L4": 2, "L5": 3, "disc_L4_5": 4}))
    labels = {"background": 0, "vertebrae_L3": 1, "vertebrae_L4": 2, "vertebrae_L5": 3, "disc_L4_L5": 4}
    (raw / "dataset.json").write_text(json.dumps({"labels": labels, "channel_names": {"0": "T2"}}))
    (case,) = open_dataset(raw, progress=False).cases
    assert case.name == "a"
    label = read_case_label(case)
    assert label.label.dtype == np.uint8
    assert np.array_equal(label.label, spine())


def test_nnunet_of_version_1_writes_names_by_number(tmp_path, spine, picture, saved) -> None:
    raw = tmp_path / "Task501"
    saved(raw / "imagesTr" / "a_0000.nii.gz", picture(0))
    saved(raw / "labelsTr" / "a.nii.gz", spine({"L4": 3, "L5": 1, "disc_L4_5": 2}))
    (raw / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "3": "L4", "1": "L5", "2": "L4/L5"}}))
    (case,) = open_dataset(raw, progress=False).cases
    assert np.array_equal(read_case_label(case).label, spine())


def test_nrrd_and_mha_pair_with_nifti(dataset) -> None:
    for number, suffix in ((0, ".nrrd"), (1, ".mha")):
        path = dataset / "images" / f"case{number}.nii.gz"
        sitk.WriteImage(sitk.ReadImage(str(path)), str(path.with_name(f"case{number}{suffix}")))
        path.unlink()
    found = open_dataset(dataset, progress=False)
    assert [case.image.suffix for case in found.cases] == [".nrrd", ".mha", ".gz"]
    assert read_case_image(found.cases[0]).shape == read_case_label(found.cases[0]).label.shape


def test_the_table_gives_patients_groups_and_every_other_column(dataset) -> None:
    (dataset / "cases.csv").write_text(
        "\ufeffCase;patient;group;age\ncase0;p1;healthy;61\ncase1;p1;healthy;61\ncase2;p2;;33\n", encoding="utf-8"
    )
    found = open_dataset(dataset, progress=False)
    assert found.patients == ("p1", "p2")
    assert [case.group for case in found.cases] == ["healthy", "healthy", None]
    assert found.cases[2].columns == {"age": "33"}


def test_a_table_without_patients_leaves_each_case_its_own(dataset) -> None:
    (dataset / "cases.csv").write_text("case,group\ncase0,a\ncase1,b\ncase2,a\n")
    assert read_dataset(dataset).patients == ("case0", "case1", "case2")


def test_a_phantom_data_set_is_one(tmp_path, spine, picture, saved) -> None:
    # What `livf data phantom` writes, by its own code for paths and table.
    from livf.lib.synthesis.studies import StudyPaths, study_name

    paths = StudyPaths.of(tmp_path, study_name(7))
    saved(paths.image, picture(7))
    saved(paths.label, spine())
    assert names(tmp_path) == ["phantom_00007"]


def test_images_of_one_patient_may_share_a_label(dataset, spine, saved) -> None:
    for number in range(2):
        saved(dataset / "labels" / f"case{number}.nii.gz", spine())
    (dataset / "cases.csv").write_text("case,patient\ncase0,p\ncase1,p\ncase2,q\n")
    assert len(open_dataset(dataset, progress=False)) == 3


def test_the_error_crosses_processes_with_its_problems() -> None:
    import pickle  # what process pools do

    from livf.lib.dataset import Problem

    error = pickle.loads(pickle.dumps(DatasetError("folder", [Problem("a", "is bad", "mend it"), Problem("b", "too")])))
    assert error.line == "folder: 2 problems in the data set: a: is bad; mend it | b: too"
    assert len(error.problems) == 2
