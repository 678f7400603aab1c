"""Studies and cohorts on disk: reproducible, whole or absent, readable."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from livf import cli
from livf.lib.errors import OutputError
from livf.lib.images import read_image, read_label
from livf.lib.synthesis import cohort, studies
from livf.lib.synthesis.morphometry import GROUP_COUNTS
from livf.lib.synthesis.phantom import Grid, Phantom, make_phantom
from livf.lib.synthesis.studies import StudyPaths, group_of, study_name, write_studies, write_study
from livf.lib.synthesis.truth import foramen_truth

SMALL = Grid((110, 110, 70), spacing=1.2, centre=(0.0, -8.0, 0.0))


def digests(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(folder.rglob("*")) if p.is_file()}  # fmt: skip


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(4, group="both", grid=SMALL)


@pytest.fixture(scope="module")
def written(phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyPaths]:
    folder = tmp_path_factory.mktemp("set") / "deep"
    return folder, write_study(folder, phantom)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cohorts in this process on a small grid: the same code, quicker."""

    def make(seed: int, **options: object) -> Phantom:
        return make_phantom(seed, grid=SMALL, **options)

    monkeypatch.setattr(cohort, "make_phantom", make)
    monkeypatch.setattr(studies, "make_phantom", make)


def test_what_is_read_back_is_the_phantom(phantom: Phantom, written: tuple[Path, StudyPaths]) -> None:
    image, label = read_image(written[1].image), read_label(written[1].label)
    assert (image.array == phantom.image.array).all()
    assert (label.array == phantom.label).all()
    np.testing.assert_allclose(image.affine, phantom.affine, atol=1e-5)
    np.testing.assert_array_equal(image.affine, label.affine)


def test_the_document_holds_the_truth_of_both_foramina(phantom: Phantom, written: tuple[Path, StudyPaths]) -> None:
    document = json.loads(written[1].truth.read_text())
    assert document["group"] == document["parameters"]["group"] == "both"
    assert document["case"] == study_name(4)
    for side in ("left", "right"):
        truth, stored = foramen_truth(phantom.spine, side), document["foramina"][side]
        assert stored["area_mm2"] == pytest.approx(truth.area_mm2, abs=1e-3)
        assert stored["height_mm"] == pytest.approx(truth.height_mm, abs=1e-3)
        assert len(stored["outline_as_mm"]) == len(stored["outline_parts"]) == len(truth.outline)
    assert document["foramina"]["left"] != document["foramina"]["right"]
    np.testing.assert_allclose(document["frame"]["left"], phantom.spine.frame.left, atol=1e-8)


def test_another_process_writes_the_same_bytes(written: tuple[Path, StudyPaths], tmp_path: Path) -> None:
    code = (
        "import sys; from livf.lib.synthesis.phantom import Grid, make_phantom\n"
        "from livf.lib.synthesis.studies import write_study\n"
        f"grid = Grid({SMALL.shape}, {SMALL.spacing}, {SMALL.centre})\n"
        "write_study(sys.argv[1], make_phantom(4, group='both', grid=grid))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "77"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment, timeout=300)
    assert digests(tmp_path) == digests(written[0])
    assert len(digests(tmp_path)) == 3


def test_groups_come_as_often_as_in_the_paper() -> None:
    assert Counter(group_of(seed) for seed in range(100)) == GROUP_COUNTS
    assert Counter(group_of(seed) for seed in range(733, 833)) == GROUP_COUNTS
    ten = Counter(group_of(seed) for seed in range(10))
    assert all(abs(ten[group] - count / 10) <= 1 for group, count in GROUP_COUNTS.items())


def test_images_only_is_flat_and_keeps_what_is_there(tmp_path: Path, small: None) -> None:
    paths = write_studies(tmp_path, seeds=(1, 2))
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    before = [path.stat().st_mtime_ns for path in paths]
    write_studies(tmp_path, seeds=(1, 2))
    assert [path.stat().st_mtime_ns for path in paths] == before


def test_a_cohort_goes_on_past_a_failure_and_is_resumed(
    tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = cohort.write_study

    def full_disk(folder: Path, phantom: Phantom) -> StudyPaths:
        if phantom.seed == 6:
            raise OutputError("there is no space left on the disk", folder, "free some space")
        return good(folder, phantom)

    monkeypatch.setattr(cohort, "write_study", full_disk)
    report = cohort.write_cohort(tmp_path, range(5, 8), workers=1, progress=False)
    assert report.written == (study_name(5), study_name(7))
    assert [name for name, _ in report.failed] == [study_name(6)]
    assert "no space left" in report.failed[0][1]
    assert len((tmp_path / "cases.csv").read_text().splitlines()) == 3

    monkeypatch.setattr(cohort, "write_study", good)
    # Half a study counts as none.
    StudyPaths.of(tmp_path, study_name(7)).label.unlink()
    again = cohort.write_cohort(tmp_path, range(5, 8), workers=1, progress=False)
    assert again.kept == (study_name(5),)
    assert again.written == (study_name(6), study_name(7))
    assert [document["seed"] for document in again.documents] == [5, 6, 7]
    assert len((tmp_path / "cases.csv").read_text().splitlines()) == 4


def test_workers_write_what_one_process_writes(tmp_path: Path) -> None:
    one = cohort.write_cohort(tmp_path / "one", (8, 9), workers=1, images_only=True, progress=False)
    two = cohort.write_cohort(tmp_path / "two", (8, 9), workers=2, images_only=True, progress=False)
    assert one.written == two.written == (study_name(8), study_name(9))
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_the_table_counts_what_is_missing() -> None:
    def document(group: str, left: float | None, right: float | None, width: float | None) -> dict[str, object]:
        sides = {side: {"area_mm2": area, "height_mm": area and 20.0, "width_mm": area and width}
                 for side, area in (("left", left), ("right", right))}  # fmt: skip
        return {"group": group, "foramina": sides}

    lines = cohort.summary([document("healthy", 120.0, 140.0, 6.0), document("both", None, 100.0, None)])
    every, healthy, both, paper, difference = lines[1:]
    assert every.split() == ["all", "2", "120.0", "±", "20.0", "20.00", "±", "0.00", "6.00", "±", "0.00", "1", "1"]
    assert healthy.split()[:5] == ["healthy", "1", "130.0", "±", "14.1"]
    assert both.split()[-2:] == ["1", "1"]
    assert "133.4 ± 30.5" in paper
    assert "-10 %" in difference


def test_the_command_writes_a_study_and_prints_the_table(
    tmp_path: Path, small: None, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["data", "phantom", "-o", str(tmp_path / "set"), "--seed", "3", "--group", "stenosis", "--workers", "1"]
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    assert "Chen 2022" in out
    assert "1 written" in out
    assert json.loads((tmp_path / "set/truth/phantom_00003.json").read_text())["group"] == "stenosis"
    assert cli.main(arguments) == 0
    assert "1 kept" in capsys.readouterr().out


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main(["data", "phantom", "-o", str(tmp_path / "file")]) == 1
    error = capsys.readouterr().err
    assert "is a file, not a folder" in error
    assert len(error.splitlines()) == 1
    for wrong in (["-n", "0"], ["--seed", "-1"], ["--group", "none"], ["--workers", "x"]):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["data", "phantom", "-o", str(tmp_path / "new"), *wrong])
        assert stopped.value.code == 2
    assert not (tmp_path / "new").exists()


def test_the_command_brings_no_torch() -> None:
    code = "import sys, livf.cli, livf.lib.synthesis.cohort; sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment, timeout=120).returncode == 0
