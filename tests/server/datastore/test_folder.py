"""The folder datastore, on real files."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("monailabel")

from livf.lib.anatomy import DISC, L4, L5
from livf.lib.errors import InputError, NotFoundError, OutputError
from livf.lib.images import read_image, read_label, write_image, write_label
from livf.lib.labels import Author
from livf.lib.server.datastore import FolderDatastore
from livf.lib.values import Volume

AFFINE = np.array([[-0.8, 0.02, 0, 10], [0.02, 0.8, 0, -20], [0, 0, 1.1, 30], [0, 0, 0, 1]], dtype=float)
SHAPE = (12, 10, 8)


def an_image() -> Volume:
    return Volume(np.random.default_rng(5).integers(0, 900, SHAPE).astype(np.int16), AFFINE)


def a_label() -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[2:5], label[5:7], label[7:10] = L4.value, DISC.value, L5.value
    return label


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    for suffix in (".nii.gz", ".nii", ".nrrd", ".mha"):
        write_image(folder / f"case{suffix.replace('.', '-')}{suffix}", an_image())
    (folder / "notes.txt").write_text("not an image")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / ".hidden.nii").write_bytes(b"half written")
    return folder


@pytest.fixture
def store(studies: Path) -> FolderDatastore:
    return FolderDatastore(studies, state=studies / ".livf", watch=False)


def submit(
    store: FolderDatastore, tmp_path: Path, label: np.ndarray, names: list[str] | None, tag: str = "final"
) -> None:
    path = tmp_path / "submitted.nrrd"
    write_label(path, label, AFFINE)
    info = {} if names is None else {"label_info": [{"name": name, "idx": 9} for name in names]}
    store.save_label("case-nii-gz", str(path), tag, info)


def stored(store: FolderDatastore, tag: str = "final") -> np.ndarray:
    return read_label(store.get_label_uri("case-nii-gz", tag)).array


def test_lists_what_livf_reads_and_nothing_else(store: FolderDatastore) -> None:
    assert sorted(store.list_images()) == ["case-mha", "case-nii", "case-nii-gz", "case-nrrd"]
    for name in store.list_images():
        np.testing.assert_array_equal(read_image(store.get_image_uri(name)).array, an_image().array)


def test_of_two_files_with_one_name_the_first_is_listed(studies: Path) -> None:
    write_image(studies / "twice.nii", an_image())
    write_image(studies / "twice.mha", an_image())
    store = FolderDatastore(studies, state=studies / ".livf", watch=False)
    assert store.get_image_uri("twice").endswith("twice.mha")
    assert len(store.list_images()) == 5


def test_a_label_is_stored_by_names_on_the_images_grid(store: FolderDatastore, tmp_path: Path) -> None:
    renumbered = a_label()
    renumbered[a_label() == DISC.value], renumbered[a_label() == L5.value] = 1, 2
    renumbered[a_label() == L4.value] = 0
    submit(store, tmp_path, renumbered, ["disc_L4_5", "L5"])
    np.testing.assert_array_equal(stored(store), np.where(a_label() == L4.value, 0, a_label()))
    file = read_label(store.get_label_uri("case-nii-gz", "final"))
    np.testing.assert_allclose(file.affine, AFFINE, atol=1e-5)
    info = store.get_label_info("case-nii-gz", "final")
    assert info["params"]["label_names"] == {"disc_L4_5": DISC.value, "L5": L5.value}


def test_a_refused_label_leaves_the_stored_one(store: FolderDatastore, tmp_path: Path) -> None:
    submit(store, tmp_path, a_label(), None)
    with pytest.raises(InputError, match=r"^case-nii-gz: "):
        submit(store, tmp_path, a_label(), ["L4", "L4", "L5"])
    np.testing.assert_array_equal(stored(store), a_label())


def test_every_label_is_kept_and_the_newest_shown(store: FolderDatastore, tmp_path: Path) -> None:
    first, second = a_label(), np.flip(a_label(), axis=1).copy()
    second[0] = L4.value
    for label in (first, second, first):
        submit(store, tmp_path, label, None)
    kept = store.versions.versions("case-nii-gz")
    assert [version.number for version in kept] == [1, 2, 3]
    for version, label in zip(kept, (first, second, first), strict=True):
        np.testing.assert_array_equal(read_label(version.path).array, label)
    np.testing.assert_array_equal(stored(store), first)


def test_a_label_of_another_format_is_replaced(studies: Path, tmp_path: Path) -> None:
    (studies / "labels" / "final").mkdir(parents=True)
    write_label(studies / "labels" / "final" / "case-nii-gz.nrrd", a_label(), AFFINE)
    store = FolderDatastore(studies, state=studies / ".livf", watch=False)
    np.testing.assert_array_equal(stored(store), a_label())
    other = np.where(a_label() == L5.value, 0, a_label()).astype(np.uint8)
    submit(store, tmp_path, other, None)
    assert [path.name for path in (studies / "labels" / "final").iterdir()] == ["case-nii-gz.nii.gz"]
    np.testing.assert_array_equal(stored(store), other)
    [found, saved] = store.versions.versions("case-nii-gz")
    assert (found.label.author, found.label.user.name, found.path.suffix) == (Author.FOUND, "unknown", ".nrrd")
    assert saved.label.author is Author.ANNOTATOR
    np.testing.assert_array_equal(read_label(found.path).array, a_label())


def test_what_the_system_refuses_is_said(store: FolderDatastore, studies: Path, tmp_path: Path) -> None:
    (studies / "labels" / "taken").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match=r"^case-nii-gz: is a file, not a folder"):
        submit(store, tmp_path, a_label(), None, "taken")
    assert store.get_label_uri("case-nii-gz", "taken") == ""


def test_tags_do_not_overwrite_each_other(store: FolderDatastore, tmp_path: Path) -> None:
    other = np.where(a_label() == L5.value, 0, a_label()).astype(np.uint8)
    submit(store, tmp_path, a_label(), None, "original")
    submit(store, tmp_path, other, None, "final")
    np.testing.assert_array_equal(stored(store, "original"), a_label())
    np.testing.assert_array_equal(stored(store, "final"), other)


@pytest.mark.parametrize("tag", ["../../outside", "", ".", "..", "a/b", "a\\b", ".hidden", "x" * 300, "a\nb"])
def test_a_tag_is_one_plain_name(store: FolderDatastore, tmp_path: Path, tag: str) -> None:
    with pytest.raises(InputError, match="is not a tag"):
        submit(store, tmp_path, a_label(), None, tag)
    assert not (tmp_path / "outside").exists()


def test_a_label_of_an_unknown_image(store: FolderDatastore, tmp_path: Path) -> None:
    write_label(tmp_path / "label.nii", a_label(), AFFINE)
    with pytest.raises(NotFoundError, match="case-7: there is no such image"):
        store.save_label("case-7", str(tmp_path / "label.nii"), "final", {})


def test_a_label_on_another_grid_is_refused(store: FolderDatastore, tmp_path: Path) -> None:
    write_label(tmp_path / "label.nii", a_label()[1:], AFFINE)
    with pytest.raises(InputError, match="case-nrrd: the label has 11x10x8 voxels, the image 12x10x8"):
        store.save_label("case-nrrd", str(tmp_path / "label.nii"), "final", {})
    assert store.get_label_uri("case-nrrd", "final") == ""


def test_added_images_are_images(store: FolderDatastore, studies: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "new.mha", an_image())
    assert store.add_image("", str(tmp_path / "new.mha"), {}) == "new"
    assert "new" in store.list_images() and (studies / "new.mha").is_file()
    (tmp_path / "bad.nii").write_bytes(b"nothing")
    for name, file, said in (
        ("bad", "bad.nii", "bad: "),
        ("../out", "new.mha", "is not a plain name"),
        ("new", "new.mha", "of this name already"),
    ):
        with pytest.raises(InputError, match=said):
            store.add_image(name, str(tmp_path / file), {})
    assert not list(tmp_path.glob("out*"))


def test_removed_labels_are_kept(store: FolderDatastore, studies: Path, tmp_path: Path) -> None:
    submit(store, tmp_path, a_label(), None)
    store.remove_image("case-nii-gz")
    assert "case-nii-gz" not in store.list_images()
    [kept] = store.versions.versions("case-nii-gz")
    assert kept.withdrawn
    np.testing.assert_array_equal(read_label(kept.path).array, a_label())
    with pytest.raises(NotFoundError):
        store.remove_image("case-nii-gz")
    with pytest.raises(NotFoundError):
        store.remove_label("case-nii", "final")


def test_the_index_is_read_again(store: FolderDatastore, studies: Path, tmp_path: Path) -> None:
    submit(store, tmp_path, a_label(), ["L4", "disc_L4_5", "L5"])
    again = FolderDatastore(studies, state=studies / ".livf", watch=False)
    assert again.status() == {"total": 4, "completed": 1, "label_tags": {"final": 1}}
    assert again.get_label_info("case-nii-gz", "final")["label_info"][0]["name"] == "L4"
    json.loads((studies / "datastore_v2.json").read_text())


def test_two_processes_do_not_undo_each_other(store: FolderDatastore, studies: Path, tmp_path: Path) -> None:
    other = FolderDatastore(studies, state=studies / ".livf", watch=False)
    submit(store, tmp_path, a_label(), None, "final")
    submit(other, tmp_path, a_label(), None, "batch")
    store.update_image_info("case-mha", {"seen": True})
    again = FolderDatastore(studies, state=studies / ".livf", watch=False)
    assert again.status()["label_tags"] == {"final": 1, "batch": 1}
    assert again.get_label_info("case-nii-gz", "final")["params"]["label_names"]
    assert again.get_image_info("case-mha")["seen"] is True


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b"[]", b'{"name": 3}'])
def test_a_damaged_index_is_set_aside_and_made_anew(
    store: FolderDatastore, studies: Path, tmp_path: Path, content: bytes
) -> None:
    submit(store, tmp_path, a_label(), ["L4", "disc_L4_5", "L5"])
    info = store.get_label_info("case-nii-gz", "final")
    (studies / "datastore_v2.json").write_bytes(content)
    again = FolderDatastore(studies, state=studies / ".livf", watch=False)
    assert again.index_was == "damaged"
    assert again.status() == {"total": 4, "completed": 1, "label_tags": {"final": 1}}
    told = again.get_label_info("case-nii-gz", "final")
    for name in ("label_info", "params", "version", "user", "file_sha256"):
        assert told[name] == info[name]
    [aside] = (studies / ".livf" / "damaged").iterdir()
    assert aside.read_bytes() == content


def test_an_index_that_is_damaged_while_it_is_used(store: FolderDatastore, studies: Path, tmp_path: Path) -> None:
    submit(store, tmp_path, a_label(), None)
    (studies / "datastore_v2.json").write_text("{")
    submit(store, tmp_path, a_label(), None, "original")
    assert FolderDatastore(studies, studies / ".livf", watch=False).status()["label_tags"] == {
        "final": 1,
        "original": 1,
    }


def test_an_index_that_leads_elsewhere_is_not_believed(store: FolderDatastore, studies: Path, tmp_path: Path) -> None:
    submit(store, tmp_path, a_label(), None)
    index = json.loads((studies / "datastore_v2.json").read_text())
    (tmp_path / "secret.nii").write_bytes(b"not served")
    index |= {"images_dir": "..", "labels_dir": "/"}
    index["objects"]["../secret"] = {"image": {"ext": ".nii"}}
    index["objects"]["case-mha"]["labels"]["../../.."] = {"ext": "/secret.nii"}
    (studies / "datastore_v2.json").write_text(json.dumps(index))
    again = FolderDatastore(studies, state=studies / ".livf", watch=False)
    assert "../secret" not in again.list_images()
    assert again.get_labels_by_image_id("case-mha") == {}
    assert Path(again.get_image_uri("case-mha")) == studies / "case-mha.mha"


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_link_out_of_the_folder_is_not_served(studies: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "outside.nii", an_image())
    (studies / "out.nii").symlink_to(tmp_path / "outside.nii")
    (studies / "in.nii").symlink_to(studies / "case-nii.nii")
    (studies / "labels").mkdir()
    (studies / "labels" / "final").symlink_to(tmp_path)
    store = FolderDatastore(studies, state=studies / ".livf", watch=False)
    assert "out" not in store.list_images()
    assert "in" in store.list_images()
    assert store.status()["label_tags"] == {}


def test_no_archive_without_labels(store: FolderDatastore) -> None:
    with pytest.raises(NotFoundError, match="no image has a final label yet"):
        store.get_dataset_archive(None)


def test_a_dicom_series_is_an_image(studies: Path, tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    straight = Volume(an_image().array, np.diag([-0.8, -0.8, 1.1, 1.0]))
    _dicom_files().write_series(studies / "patient 7", straight)
    (studies / "folder of notes").mkdir()
    (studies / "folder of notes" / "a.txt").write_text("no DICOM here")
    store = FolderDatastore(studies, state=studies / ".livf", watch=False)
    assert "patient 7" in store.list_images() and "folder of notes" not in store.list_images()

    path = Path(store.get_image_uri("patient 7"))
    assert path == studies / ".livf" / "converted" / "patient 7.nii.gz"
    image, series = read_image(path), read_image(studies / "patient 7")
    np.testing.assert_array_equal(image.array, series.array)
    np.testing.assert_allclose(image.affine, series.affine, atol=1e-4)

    assert store.get_image_info("patient 7")["name"] == "patient 7.nii.gz"
    written = path.stat().st_mtime_ns
    assert Path(store.get_image_uri("patient 7")).stat().st_mtime_ns == written, "it was converted a second time"
    write_label(tmp_path / "label.nii.gz", (image.array > 500).astype(np.uint8), image.affine)
    store.save_label("patient 7", str(tmp_path / "label.nii.gz"), "final", {})
    assert (studies / "labels" / "final" / "patient 7.nii.gz").is_file()
    with pytest.raises(InputError, match="remove its folder"):
        store.remove_image("patient 7")
    assert len(list((studies / "patient 7").iterdir())) == straight.shape[2]


def test_images_come_and_go_while_it_is_watched(studies: Path) -> None:
    store = FolderDatastore(studies, state=studies / ".livf", watch=True)
    write_image(studies / "later.nii.gz", an_image())
    _until(lambda: "later" in store.list_images())
    (studies / "later.nii.gz").unlink()
    _until(lambda: "later" not in store.list_images())


def test_a_reader_never_sees_half_a_list(store: FolderDatastore, studies: Path) -> None:
    # The stock store empties the list that readers in other threads hold, then fills it again.
    held = store._datastore.objects
    (studies / "case-nii.nii").unlink()
    store.refresh()
    assert len(held) == 4
    assert len(store.list_images()) == 3


def _dicom_files() -> ModuleType:
    path = Path(__file__).parents[2] / "images" / "dicom_files.py"
    spec = importlib.util.spec_from_file_location("livf_test_dicom_files", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _until(condition: object, seconds: float = 10) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
