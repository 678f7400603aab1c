from __future__ import annotations

import pytest

from livf.lib.errors import InputError, NotFoundError
from livf.lib.evaluation.cohort import Subject
from livf.lib.evaluation.folders import match


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_are_paired_by_case_whatever_their_format(tmp_path):
    pred, truth = tmp_path / "pred", tmp_path / "truth"
    touch(pred / "a.nii.gz", pred / "b.NRRD", pred / "x.mha", pred / ".hidden.nii.gz", pred / "notes.txt")
    touch(truth / "a.nrrd", truth / "b.nii", truth / "c.nii.gz")
    found = match(pred, truth, {"a": Subject("a", "p1", "healthy")})
    assert [(pair.case, pair.patient, pair.group, pair.part) for pair in found.pairs] == [
        ("a", "p1", "healthy", "test"),
        ("b", "", "", "test"),
    ]
    assert (found.without_truth, found.without_prediction) == (("x",), ("c",))


@pytest.mark.parametrize("inner", ["labels", "labelsTr"])
def test_truth_may_be_a_data_set(tmp_path, inner):
    touch(tmp_path / "pred" / "a.nii.gz", tmp_path / "truth" / inner / "a.nii.gz")
    [pair] = match(tmp_path / "pred", tmp_path / "truth").pairs
    assert pair.truth == tmp_path / "truth" / inner / "a.nii.gz"


def test_what_livf_run_writes_is_read(tmp_path):
    touch(tmp_path / "pred" / "a" / "label.nii.gz", tmp_path / "pred" / "measurements.csv", tmp_path / "t" / "a.nii.gz")
    [pair] = match(tmp_path / "pred", tmp_path / "t").pairs
    assert pair.prediction.name == "label.nii.gz"


def test_a_suffix_chooses_files(tmp_path):
    touch(
        tmp_path / "p" / "a_seg-vert_msk.nii.gz", tmp_path / "p" / "a_seg-spine_msk.nii.gz", tmp_path / "t" / "a.nii.gz"
    )
    [pair] = match(tmp_path / "p", tmp_path / "t", suffix="_seg-vert_msk").pairs
    assert (pair.case, pair.prediction.name) == ("a", "a_seg-vert_msk.nii.gz")


def test_what_cannot_be_paired_is_told(tmp_path):
    pred, truth = tmp_path / "pred", tmp_path / "truth"
    with pytest.raises(NotFoundError):
        match(pred, truth)
    pred.mkdir()
    truth.mkdir()
    with pytest.raises(InputError, match="holds no label"):
        match(pred, truth)
    touch(pred / "a.nii.gz", truth / "b.nii.gz")
    with pytest.raises(InputError, match="here a; there b"):
        match(pred, truth)
    touch(pred / "a.nrrd")
    with pytest.raises(InputError, match="the case a twice"):
        match(pred, truth)
