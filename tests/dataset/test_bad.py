"""Bad data sets: each is named, with a remedy, before any training; and all faults at once."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from livf.lib.dataset import DatasetError, open_dataset

Spoil = Callable[..., None]


def image(folder: Path, number: int = 1) -> Path:
    return folder / "images" / f"case{number}.nii.gz"


def label(folder: Path, number: int = 1) -> Path:
    return folder / "labels" / f"case{number}.nii.gz"


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def change(path: Path, save: Callable[..., Path], edit: Callable[[np.ndarray], np.ndarray]) -> None:
    save(path, edit(voxels(path)))


def swap(first: Path, second: Path) -> None:
    between = first.with_name("between.nii.gz")
    first.rename(between)
    second.rename(first)
    between.rename(second)


def moved(path: Path, save: Callable[..., Path], mm: float) -> None:
    matrix = nib.load(path).affine.copy()
    matrix[2, 3] += mm
    save(path, voxels(path), matrix)


def with_nan(array: np.ndarray) -> np.ndarray:
    result = array.astype(np.float32)
    result[3, 3, 3] = np.nan
    return result


def with_seven(array: np.ndarray) -> np.ndarray:
    result = array.copy()
    result[0, 0, :9] = 7
    return result


def only(*values: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda array: np.where(np.isin(array, values), array, 0).astype(np.uint8)


def relabelled(**numbers: int) -> Callable[[np.ndarray], np.ndarray]:
    table = np.array([0, numbers.get("L4", 1), numbers.get("disc", 2), numbers.get("L5", 3)])
    return lambda array: table[array].astype(np.uint8)


def table(text: str) -> Spoil:
    return lambda folder, save: (folder / "cases.csv").write_text(text)


def nnunet(folder: Path, save: Callable[..., Path], labels: object, second_channel: bool = False) -> None:
    (folder / "images").rename(folder / "imagesTr")
    (folder / "labels").rename(folder / "labelsTr")
    for path in list((folder / "imagesTr").iterdir()):
        path.rename(path.with_name(path.name.replace(".nii", "_0000.nii")))
    if second_channel:
        save(folder / "imagesTr" / "case1_0001.nii.gz", np.arange(27).reshape(3, 3, 3).astype(np.int16))
    (folder / "dataset.json").write_text(json.dumps(labels))


ALL = "case,patient,group\ncase0,a,x\ncase1,b,x\ncase2,c,y\n"

BAD: dict[str, tuple[Spoil, str, str]] = {
    "no label": (lambda f, s: label(f).unlink(), "images/case1.nii.gz", "an image and no label"),
    "no image": (lambda f, s: image(f).unlink(), "labels/case1.nii.gz", "a label and no image"),
    "other shape": (
        lambda f, s: change(label(f), s, lambda a: a[:, :, 2:]),
        "labels/case1.nii.gz",
        "another grid than its image (28x44x72 voxels, the image has 28x44x74)",
    ),
    "other place": (
        lambda f, s: moved(label(f), s, 3.0),
        "labels/case1.nii.gz",
        "another grid than its image (up to 3 mm",
    ),
    "label value 7": (lambda f, s: change(label(f), s, with_seven), "labels/case1.nii.gz", "holds 7, which"),
    "fractions in the label": (
        lambda f, s: change(label(f), s, lambda a: a * np.float32(0.5)),
        "labels/case1.nii.gz",
        "holds fractions, so it is not a label",
    ),
    "swapped pair": (lambda f, s: swap(image(f), label(f)), "case1", "image and label are swapped"),
    "image given as label": (
        lambda f, s: change(label(f), s, lambda a: voxels(image(f, 2))),
        "labels/case1.nii.gz",
        "as an image does",
    ),
    "label given as image": (
        lambda f, s: change(image(f), s, lambda a: voxels(label(f))),
        "images/case1.nii.gz",
        "as a label does",
    ),
    "label of another case": (
        lambda f, s: change(label(f), s, lambda a: voxels(label(f, 0))),
        "labels/case1.nii.gz",
        "is the very label of case case0",
    ),
    "one patient under two names": (
        lambda f, s: change(image(f), s, lambda a: voxels(image(f, 0)).astype(np.float32)),
        "images/case1.nii.gz",
        "is the same image as case case0, of patient case0",
    ),
    "one image twice": (
        lambda f, s: (
            change(image(f), s, lambda a: voxels(image(f, 0))),
            table("case,patient\ncase0,a\ncase1,a\ncase2,b\n")(f, s),
        ),
        "images/case1.nii.gz",
        "is the same image as case case0",
    ),
    "the same case twice": (
        lambda f, s: s(f / "images" / "case1.nii", voxels(image(f))),
        "data",
        "case case1 has its image twice",
    ),
    "empty folder": (
        lambda f, s: [path.unlink() for path in f.rglob("*.nii.gz")],
        "data",
        "holds no image and no label",
    ),
    "truncated": (
        lambda f, s: image(f).write_bytes(image(f).read_bytes()[:3000]),
        "images/case1.nii.gz",
        "is damaged, cut short",
    ),
    "truncated label": (
        lambda f, s: label(f).write_bytes(gzip.compress(gzip.decompress(label(f).read_bytes())[:5000])),
        "labels/case1.nii.gz",
        "is damaged, cut short",
    ),
    "no NIfTI": (lambda f, s: image(f).write_text("not an image"), "images/case1.nii.gz", "not a NIfTI image"),
    "no bytes": (lambda f, s: label(f).write_bytes(b""), "labels/case1.nii.gz", "is empty (0 bytes)"),
    "empty label": (
        lambda f, s: change(label(f), s, np.zeros_like),
        "labels/case1.nii.gz",
        "every voxel is background",
    ),
    "a structure missing": (lambda f, s: change(label(f), s, only(1, 3)), "labels/case1.nii.gz", "lacks L4-L5 disc"),
    "L4 below L5": (
        lambda f, s: change(label(f), s, relabelled(L4=3, L5=1)),
        "labels/case1.nii.gz",
        "L4 lies below L5",
    ),
    "disc elsewhere": (
        lambda f, s: change(label(f), s, lambda a: _disc_on_top(a)),
        "labels/case1.nii.gz",
        "does not lie between L4 and L5",
    ),
    "4D image": (
        lambda f, s: change(image(f), s, lambda a: np.stack([a, a], axis=-1)),
        "images/case1.nii.gz",
        "has 4 dimensions",
    ),
    "NaN": (lambda f, s: change(image(f), s, with_nan), "images/case1.nii.gz", "not numbers (NaN"),
    "constant image": (
        lambda f, s: change(image(f), s, lambda a: np.full_like(a, 5)),
        "images/case1.nii.gz",
        "every voxel has the same value",
    ),
    "no case column": (table("name,patient\ncase0,a\n"), "cases.csv", "has no column called case"),
    "unknown case": (table(ALL + "case9,d,y\n"), "cases.csv", "names case case9, which has no files"),
    "case not in the table": (table("case,patient\ncase0,a\ncase2,c\n"), "cases.csv", "has no line for case case1"),
    "listed twice": (table(ALL + "case1,b,x\n"), "cases.csv line 5", "case case1 is listed twice"),
    "two patients": (table(ALL + "case1,z,x\n"), "cases.csv line 5", "case case1 is of two patients (b and z)"),
    "no patient": (table("case,patient\ncase0,a\ncase1,\ncase2,c\n"), "cases.csv line 3", "case case1 has no patient"),
    "ragged table": (table("case,patient\ncase0,a,b\ncase1,b\ncase2,c\n"), "cases.csv line 2", "3 cells for 2 columns"),
    "table in another encoding": (
        lambda f, s: (f / "cases.csv").write_bytes("case,patient\ncase0,Müller\n".encode("latin-1")),
        "cases.csv",
        "cannot be read as a table",
    ),
    "detached header": (
        lambda f, s: (f / "images" / "case3.mhd").write_text("ElementDataFile = x.raw"),
        "images/case3.mhd",
        "a format a data set cannot hold",
    ),
    "nnU-Net without our names": (
        lambda f, s: nnunet(f, s, {"labels": {"background": 0, "liver": 1}}),
        "dataset.json",
        "names none of the structures",
    ),
    "nnU-Net without the disc": (
        lambda f, s: nnunet(f, s, {"labels": {"background": 0, "L4": 1, "L5": 3}}),
        "dataset.json",
        "does not name disc_L4_5",
    ),
    "nnU-Net with two channels": (
        lambda f, s: nnunet(f, s, {"labels": {"background": 0, "L4": 1, "disc_L4_5": 2, "L5": 3}}, second_channel=True),
        "imagesTr/case1_0001.nii.gz",
        "is a second channel",
    ),
    "nnU-Net without labels": (lambda f, s: nnunet(f, s, ["no"]), "dataset.json", "is not a dataset.json with labels"),
}


def _disc_on_top(array: np.ndarray) -> np.ndarray:
    result = np.where(array == 2, 0, array).astype(np.uint8)
    result[10:20, 25:35, 70:73] = 2
    return result


@pytest.mark.parametrize("name", BAD)
def test_a_bad_data_set_is_named_with_its_place_and_a_remedy(dataset, saved, name) -> None:
    spoil, where, what = BAD[name]
    spoil(dataset, saved)
    with pytest.raises(DatasetError) as caught:
        open_dataset(dataset, progress=False)
    (problem,) = caught.value.problems
    assert what in problem.what
    assert Path(problem.where).as_posix().endswith(where)
    assert problem.remedy


@pytest.mark.parametrize(("path", "what"), [("none", "there is no such folder"), ("file", "is a file")])
def test_what_is_no_folder_is_refused(tmp_path, path, what) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatasetError, match=what) as caught:
        open_dataset(tmp_path / path)
    assert all(problem.remedy for problem in caught.value.problems)


def test_everything_that_is_wrong_is_told_at_once(dataset, saved) -> None:
    label(dataset, 0).unlink()
    change(label(dataset, 1), saved, relabelled(disc=7))
    image(dataset, 2).write_bytes(b"x" * 500)
    table("case,patient\ncase0,a\ncase1,b\ncase2,c\ncase9,d\n")(dataset, saved)
    with pytest.raises(DatasetError) as caught:
        open_dataset(dataset, progress=False)
    told = [problem.what for problem in caught.value.problems]
    assert len(told) == 5  # value 7 leaves the disc out as well
    for part in ("no label", "case9", "holds 7", "lacks", "damaged"):
        assert sum(part in what for what in told) == 1
    assert caught.value.line.startswith(f"{dataset}: 5 problems in the data set: ")
    assert "\n" not in caught.value.line


def test_studies_without_a_final_label_are_no_data_set(tmp_path, picture, saved) -> None:
    saved(tmp_path / "a.nii.gz", picture(1))
    (tmp_path / "labels" / "final").mkdir(parents=True)
    with pytest.raises(DatasetError, match="none of its 1 images has a final label"):
        open_dataset(tmp_path)
