from __future__ import annotations

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from livf.lib.errors import InputError, NotFoundError
from livf.lib.evaluation.cohort import Subject, read_cases, read_dicom_cases, subjects_of


def dicom(path, **tags):
    path.parent.mkdir(parents=True)
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "1.2.3"
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)


def test_a_table_gives_patient_group_and_properties(tmp_path):
    path = tmp_path / "cases.csv"
    path.write_text("case,patient,group,Sex,label\na,p1,healthy,F,labels/a.nii.gz\n")
    assert read_cases(path) == {"a": Subject("a", "p1", "healthy", {"Sex": "F"})}


@pytest.mark.parametrize("text", ["name\na\n", "case,patient\na,p\na,q\n", "case,patient\n,p\n"])
def test_a_table_that_cannot_be_right_is_an_error(tmp_path, text):
    path = tmp_path / "cases.csv"
    path.write_text(text)
    with pytest.raises(InputError):
        read_cases(path)


def test_dicom_tags_fill_in_what_the_table_lacks(tmp_path):
    dicom(tmp_path / "dicom" / "a" / "1.dcm", PatientID="id1", PatientSex="F", PatientAge="042Y", PatientWeight="70",
          PatientSize="1.75")  # fmt: skip
    dicom(tmp_path / "dicom" / "b" / "deep" / "1", PatientID="id2", PatientAge="018M")
    (tmp_path / "dicom" / "b" / "notes.txt").write_text("no DICOM")
    table = tmp_path / "cases.csv"
    table.write_text("case,patient,group,age\na,p1,healthy,41\n")
    found = subjects_of(tmp_path / "labels", table, tmp_path / "dicom")
    assert (found["a"].patient, found["a"].group) == ("p1", "healthy")
    assert found["a"].properties == {"sex": "F", "age": "41", "bmi": "22.9"}
    assert (found["b"].patient, dict(found["b"].properties)) == ("id2", {"age": "2"})


def test_a_folder_without_dicom_is_told(tmp_path):
    with pytest.raises(NotFoundError):
        read_dicom_cases(tmp_path / "none")
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="no DICOM"):
        read_dicom_cases(tmp_path)


def test_the_table_beside_the_labels_is_found(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "cases.csv").write_text("case\na\n")
    assert set(subjects_of(tmp_path / "labels")) == set(subjects_of(tmp_path)) == {"a"}
