"""Other groups' folders, built small after their own documentation, made into data sets."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from livf.lib.dataset import open_dataset, read_case_label, read_dataset
from livf.lib.dataset.importing import ImportReport, import_dataset, summary
from livf.lib.errors import InputError, LivfError, NotFoundError, OutputError, UsageError

# The groups' own tables, written out here a second time so that a slip in livf's is seen.
SPIDER = {"L3": 3, "L4": 2, "L5": 1, "disc_L3_4": 203, "disc_L4_5": 202, "disc_L5_S1": 201}
MRSPINESEG = {"sacrum": 1, "L5": 2, "L4": 3, "L3": 4, "disc_L5_S1": 11, "disc_L4_5": 12, "disc_L3_4": 13}
TOTALSPINESEG = {"L3": 43, "L4": 44, "L5": 45, "sacrum": 50, "disc_L3_4": 94, "disc_L4_5": 95, "disc_L5_S1": 100}
TOTALSPINESEG_2024 = {"L3": 20, "L4": 19, "L5": 18, "sacrum": 92, "disc_L3_4": 204, "disc_L4_5": 203, "disc_L5_S1": 202}
SPINEPS = {"L3": 22, "L4": 23, "L5": 24, "sacrum": 26, "disc_L3_4": 122, "disc_L4_5": 123, "disc_L5_S1": 124}


def without(numbers: Mapping[str, int], *names: str) -> dict[str, int]:
    return {name: number for name, number in numbers.items() if name not in names}


def run(kind: str, source: Path, target: Path, match: str = "*") -> ImportReport:
    return import_dataset(kind, source, target, match=match, progress=False)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "cases.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def same_as(spine):
    def check(folder: Path, case: str) -> None:
        """The imported label is ours, uint8, on its image's grid; and the data set is sound."""
        label = nib.load(folder / "labels" / f"{case}.nii.gz")
        image = nib.load(folder / "images" / f"{case}.nii.gz")
        assert label.get_data_dtype() == np.uint8
        assert np.array_equal(np.asarray(label.dataobj), spine())
        assert label.shape == image.shape
        assert np.allclose(label.affine, image.affine, atol=1e-5)
        assert open_dataset(folder, progress=False).cases

    return check


@pytest.fixture
def spider(tmp_path, spine, picture, saved):
    """Makes a case of SPIDER: MetaImage files, number of the patient and sequence in the name."""
    folder = tmp_path / "spider"

    def make(name: str, label: np.ndarray) -> None:
        for place, array in (("images", picture(len(list(folder.rglob("*"))))), ("masks", label)):
            path = saved(folder / place / f"{name}.nii.gz", array)
            image = sitk.ReadImage(str(path))
            for key in image.GetMetaDataKeys():
                image.EraseMetaData(key)
            sitk.WriteImage(image, str(folder / place / f"{name}.mha"))
            path.unlink()

    make("1_t2", spine(SPIDER, dtype=np.int16))
    (folder / "overview.csv").write_text("new_file_name,subset,num_vertebrae,sex\n1_t2,training,7,F \n")
    return folder, make


def test_spider_counts_from_l5_upwards(tmp_path, spider, spine, same_as) -> None:
    folder, make = spider
    make("1_t1", spine(SPIDER, dtype=np.int16))
    report = run("spider", folder, tmp_path / "out")
    assert report.imported == ("1_t1", "1_t2")
    assert not report.aside
    same_as(tmp_path / "out", "1_t2")
    assert rows(tmp_path / "out")[1] == {
        "case": "1_t2",
        "patient": "spider-1",
        "group": "",
        "source": "spider:images/1_t2.mha",
        "sequence": "t2",
        "sex": "F",
        "subset": "training",
    }
    assert read_dataset(tmp_path / "out").patients == ("spider-1",)
    assert run("spider", folder, tmp_path / "t2", match="*_t2*").imported == ("1_t2",)


ASIDE = {
    "no L4": (without(SPIDER, "L4"), {}, "lacks L4 vertebra"),
    "no L5": (without(SPIDER, "L5"), {}, "lacks L5 vertebra"),
    "no disc": (without(SPIDER, "disc_L4_5"), {}, "lacks L4-L5 disc"),
    "L5 cut": ({**SPIDER, "L5": 101}, {}, "L5 is only partly in the image (number 101)"),
    "bodies only": (SPIDER, {"arches": False}, "the posterior elements of L4 are not labelled"),
    "nothing below": (without(SPIDER, "disc_L5_S1"), {}, "nothing is labelled below L5"),
    "counted downwards": ({**SPIDER, "L3": 1, "L5": 3}, {}, "against their numbers"),
    "counted from L4": (
        {"L3": 2, "L4": 1, "L5": 0, "disc_L3_4": 202, "disc_L5_S1": 201},
        {},
        "so that a vertebra lies between them",
    ),
}


@pytest.mark.parametrize("name", ASIDE)
def test_a_case_that_cannot_be_used_is_set_aside_with_its_reason(tmp_path, spider, spine, name) -> None:
    folder, make = spider
    numbers, options, reason = ASIDE[name]
    make("2_t2", spine(numbers, dtype=np.int16, **options))
    report = run("spider", folder, tmp_path / "out")
    assert report.imported == ("1_t2",)
    ((case, told),) = report.aside
    assert case == "2_t2"
    assert reason in told
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.nii.gz")) == ["1_t2.nii.gz", "1_t2.nii.gz"]
    assert summary(report)[-1] == f"{tmp_path / 'out'}: 1 imported, 1 set aside"


def test_a_vertebra_left_out_of_the_count_is_seen(tmp_path, spider, spine) -> None:
    folder, make = spider
    label = spine(without(SPIDER, "L3", "disc_L3_4"), dtype=np.int16)
    # L4 and its disc as they are; L3 moved up by a vertebra, as if the one between had been missed.
    high = np.zeros_like(label)
    high[:, :, 71:] = 3 * (spine({"L3": 1})[:, :, 60:63])
    make("2_t2", np.where(high > 0, high, label).astype(np.int16))
    ((_, told),) = run("spider", folder, tmp_path / "out").aside
    assert "mm apart, so that one is left out" in told


def test_unreadable_and_unpaired_files_are_set_aside(tmp_path, spider, saved, picture) -> None:
    folder, _ = spider
    (folder / "images" / "3_t2.mha").write_bytes(b"NDims = 3")
    (folder / "masks" / "3_t2.mha").write_bytes((folder / "masks" / "1_t2.mha").read_bytes())
    (folder / "masks" / "4_t2.mha").write_bytes((folder / "masks" / "1_t2.mha").read_bytes())
    saved(folder / "images" / "5_t2.nii.gz", picture(5))
    report = run("spider", folder, tmp_path / "out")
    assert report.imported == ("1_t2",)
    told = dict(report.aside)
    assert "3_t2.mha: is damaged" in told["3_t2"]
    assert told["4_t2"] == "has no image"
    assert told["5_t2"] == "has no label"


def test_mrspineseg(tmp_path, spine, picture, saved, same_as) -> None:
    train = tmp_path / "MRI_train" / "train"
    for number in (1, 12):
        saved(train / "MR" / f"Case{number}.nii.gz", picture(number))
        saved(train / "Mask" / f"mask_case{number}.nii.gz", spine(MRSPINESEG))
    report = run("mrspineseg", tmp_path, tmp_path / "out")
    assert report.imported == ("Case1", "Case12")
    same_as_label = nib.load(tmp_path / "out" / "labels" / "Case12.nii.gz")
    assert np.array_equal(np.asarray(same_as_label.dataobj), spine())
    # The same label for two patients is no sound data set, and the import does not hide it.
    assert rows(tmp_path / "out")[0]["source"] == "mrspineseg:MRI_train/train/MR/Case1.nii.gz"


@pytest.mark.parametrize("numbers", [TOTALSPINESEG, TOTALSPINESEG_2024], ids=["now", "2024"])
def test_totalspineseg_of_both_numberings(tmp_path, spine, picture, saved, same_as, numbers) -> None:
    source = tmp_path / "tss"
    saved(source / "input_raw" / "sub-03_T2w_0000.nii.gz", picture(3))
    # The tool's own working copy lies on another grid; it must not be taken.
    saved(source / "input" / "sub-03_T2w_0000.nii.gz", picture(3)[::2], np.diag([4.0, 2, 2, 1]))
    saved(source / "step2_output" / "sub-03_T2w.nii.gz", spine(numbers))
    saved(source / "step1_output" / "sub-03_T2w.nii.gz", spine(numbers) * 0)
    report = run("totalspineseg", source, tmp_path / "out")
    assert report.imported == ("sub-03_T2w",)
    assert not report.resampled
    same_as(tmp_path / "out", "sub-03_T2w")
    assert rows(tmp_path / "out")[0]["patient"] == "sub-03"
    assert rows(tmp_path / "out")[0]["source"].endswith("input_raw/sub-03_T2w_0000.nii.gz")


def test_a_label_on_another_grid_is_brought_to_the_images(tmp_path, spine, picture, saved) -> None:
    source = tmp_path / "tss"
    fine = np.kron(spine(TOTALSPINESEG), np.ones((2, 2, 2), dtype=np.uint8))
    path = saved(source / "images" / "a.nii.gz", picture(3))
    matrix = nib.load(path).affine.copy()
    matrix[:3, 3] -= 0.5  # a voxel of 2 mm split in two
    matrix[:3, :3] /= 2
    saved(source / "step2_output" / "a.nii.gz", fine, matrix)
    report = run("totalspineseg", source, tmp_path / "out")
    assert report.resampled == ("a",)
    assert any("brought to their image's grid: a" in line for line in summary(report))
    (case,) = open_dataset(tmp_path / "out", progress=False).cases
    assert np.array_equal(read_case_label(case).label, spine())


def test_a_label_that_sticks_out_of_the_image_is_set_aside(tmp_path, spine, picture, saved) -> None:
    source = tmp_path / "tss"
    path = saved(source / "images" / "a.nii.gz", picture(3)[:, :, :40])
    saved(source / "step2_output" / "a.nii.gz", spine(TOTALSPINESEG), nib.load(path).affine)
    report = run("totalspineseg", source, tmp_path / "out")
    assert "does not lie within the image" in report.aside[0][1]


def test_spineps_with_its_end_plates(tmp_path, spine, picture, saved, same_as) -> None:
    source = tmp_path / "spineps"
    label = spine(SPINEPS)
    # Plates of one voxel at the ends of the bodies; 200 + X are both plates of the disc below X.
    vertebra = np.isin(label, (22, 23, 24))
    for upper, disc in ((22, 122), (23, 123), (24, 124)):
        touching = np.zeros_like(vertebra)
        touching[:, :, 1:] |= label[:, :, :-1] == disc
        touching[:, :, :-1] |= label[:, :, 1:] == disc
        label[touching & vertebra] = 200 + upper
    saved(source / "rawdata" / "sub-7" / "sub-7_acq-sag_T2w.nii.gz", picture(7))
    saved(source / "rawdata" / "sub-7" / "sub-7_acq-sag_T1w.nii.gz", picture(8))
    masks = source / "derivatives_seg" / "sub-7"
    saved(masks / "sub-7_acq-sag_mod-T2w_seg-vert_msk.nii.gz", label)
    saved(masks / "sub-7_acq-sag_mod-T2w_seg-spine_msk.nii.gz", label * 0)
    report = run("spineps", source, tmp_path / "out")
    assert not report.aside
    (case,) = report.imported
    assert case == "sub-7_acq-sag_mod-T2w"
    same_as(tmp_path / "out", case)
    assert rows(tmp_path / "out")[0]["patient"] == "sub-7"
    assert rows(tmp_path / "out")[0]["source"] == "spineps:rawdata/sub-7/sub-7_acq-sag_T2w.nii.gz"


def test_spineps_with_a_sixth_lumbar_vertebra(tmp_path, spine, picture, saved) -> None:
    label = spine(SPINEPS)
    label[0, 0, :5] = 25
    saved(tmp_path / "a" / "sub-7_T2w.nii.gz", picture(7))
    saved(tmp_path / "a" / "derivatives" / "sub-7_mod-T2w_seg-vert_msk.nii.gz", label)
    assert "sixth lumbar vertebra" in run("spineps", tmp_path / "a", tmp_path / "out").aside[0][1]


def test_nnunet_by_the_names_of_dataset_json(tmp_path, spine, picture, saved, same_as) -> None:
    raw = tmp_path / "Dataset042_Lumbar"
    saved(raw / "imagesTr" / "p1_0000.nii.gz", picture(1))
    saved(raw / "labelsTr" / "p1.nii.gz", spine({"L3": 1, "L4": 2, "L5": 3, "disc_L4_5": 4}))
    saved(raw / "imagesTr" / "p1_0001.nii.gz", picture(2))
    saved(raw / "imagesTs" / "p9_0000.nii.gz", picture(9))
    labels = {"background": 0, "L3": 1, "L4": 2, "L5": 3, "L4-L5 disc": 4}
    (raw / "dataset.json").write_text(json.dumps({"labels": labels}))
    report = run("nnunet", raw, tmp_path / "out")
    assert report.imported == ("p1",)
    same_as(tmp_path / "out", "p1")
    assert rows(tmp_path / "out")[0]["source"] == "nnunet:imagesTr/p1_0000.nii.gz"
    (raw / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "L4": 2, "L5": 3}}))
    with pytest.raises(LivfError, match="does not name disc_L4_5"):
        run("nnunet", raw, tmp_path / "again")


def test_nothing_is_left_where_nothing_could_be_imported(tmp_path, spider, spine) -> None:
    folder, make = spider
    make("1_t2", spine(without(SPIDER, "L4"), dtype=np.int16))
    report = run("spider", folder, tmp_path / "out")
    assert not report.imported
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spider"]


def test_nothing_is_left_of_an_import_that_is_stopped(tmp_path, spider, monkeypatch) -> None:
    from livf.lib.dataset import importing

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importing, "write_label", stop)
    with pytest.raises(KeyboardInterrupt):
        run("spider", spider[0], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spider"]


def test_wrong_folders_are_refused(tmp_path, spider) -> None:
    folder, _ = spider
    for kind in ("mrspineseg", "totalspineseg", "spineps", "nnunet"):
        with pytest.raises(NotFoundError) as caught:
            run(kind, folder, tmp_path / "out")
        assert caught.value.remedy
    with pytest.raises(NotFoundError, match="no such folder"):
        run("spider", tmp_path / "none", tmp_path / "out")
    with pytest.raises(UsageError, match="is not a kind"):
        run("verse", folder, tmp_path / "out")
    with pytest.raises(InputError, match="no case like x"):
        run("spider", folder, tmp_path / "out", match="x")
    with pytest.raises(OutputError, match="holds files already"):
        run("spider", folder, folder)


def test_the_command_offers_every_kind() -> None:
    from livf.cli.data_sets import _KINDS
    from livf.lib.dataset.importing import KINDS

    assert _KINDS == KINDS
