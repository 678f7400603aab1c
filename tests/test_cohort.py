"""Many cases: found, named, made whole or not at all, resumed, and put into one table."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image

from livf.cli import main
from livf.lib.cohort import COLUMNS, TABLE_NAME, Settings, Source, find_sources, processes, run_case, run_cohort
from livf.lib.errors import InputError, ModelError, NotFoundError, OutputError
from livf.lib.export.document import label_hash, schema
from livf.lib.images import read_label, write_image
from livf.lib.measuring import measure_file, write_results
from livf.lib.segmentation import save_model
from livf.lib.segmentation.config import ModelConfig, NetworkConfig, PreprocessConfig
from livf.lib.segmentation.network import UNet3D
from livf.lib.segmentation.weights import WEIGHTS_NAME, default_folder
from livf.lib.synthesis.phantom import Grid, make_phantom
from livf.lib.synthesis.truth import foramen_truth
from livf.lib.values import Volume

shipped = pytest.mark.skipif(
    not (default_folder() / WEIGHTS_NAME).exists(), reason="the shipped weights are not here yet"
)
SMALL = Grid((128, 168, 112), 0.8, (0.0, -8.0, 0.0))
SEEDS = (3, 5)
AFFINE = np.asarray([[-2, 0, 0, 50], [0, 2, 0, -40], [0, 0, 2, -30], [0, 0, 0, 1]], dtype=np.float64)


def start(*arguments) -> subprocess.Popen[str]:
    """Start ``livf run`` in another process."""
    code = "import sys; from livf.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "run", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def livf(capsys):
    """Run ``livf run`` in this process: exit status, output, errors."""

    def run(*arguments):
        status = main(["run", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def noise(path: Path, seed: int = 0) -> Path:
    """A noisy image file, quick to run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).integers(0, 1000, (48, 44, 30)).astype(np.int16)
    write_image(path, Volume(array, AFFINE))
    return path


def dicom(folder: Path) -> Path:
    """A folder that looks like a DICOM series by its first bytes."""
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"slice{number}").write_bytes(bytes(128) + b"DICM" + bytes([number]))
    return folder


def table(folder: Path) -> dict[str, dict[str, str]]:
    """The rows of the table by case."""
    with (folder / TABLE_NAME).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames or ()) == COLUMNS
        return {row["case"]: row for row in reader}


def state(folder: Path) -> dict[str, int]:
    """When each file below a folder was written."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def save_small_model(folder: Path, shift: float = 0.0) -> Path:
    """A small network with random weights, of which one is shifted."""
    torch.manual_seed(3)
    config = ModelConfig(
        NetworkConfig(widths=(4, 8)), PreprocessConfig(spacing_mm=2.0, box_shape=(32, 44, 44), field_shape=(32, 80, 80))
    )
    weights = UNet3D((4, 8)).state_dict()
    weights["head.bias"][0] += shift
    save_model(folder, weights, config, {})
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_small_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def settings(model):
    return Settings.of(model, "cpu")


class Here(Executor):
    """Runs each task when it is submitted, and is stopped before the task of a number."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at, self.count = stop_at, 0

    def submit(self, fn, /, *args, **kwargs):
        if self.count == self.stop_at:
            raise KeyboardInterrupt
        self.count += 1
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@shipped
@pytest.mark.slow
def test_phantoms_are_measured_and_a_second_run_changes_nothing(livf, tmp_path):
    out, studies = tmp_path / "out", tmp_path / "studies"
    studies.mkdir()
    phantoms = {f"phantom{seed}": make_phantom(seed, grid=SMALL) for seed in SEEDS}
    for name, phantom in phantoms.items():
        write_image(studies / f"{name}.nii.gz", phantom.image)
    weights = shutil.copytree(default_folder(), tmp_path / "weights")
    command = (studies, "-o", out, "--model", weights, "--device", "cpu")
    status, output, errors = livf(*command)
    assert (status, errors) == (0, "")
    assert "2 made" in output
    assert "4 measured, 0 refused" in output
    rows = table(out)
    assert sorted(rows) == sorted(phantoms)
    for name, phantom in phantoms.items():
        row, document = rows[name], json.loads((out / name / "measurement.json").read_text())
        label, without = read_label(out / name / "label.nii.gz"), measure_file(out / name / "label.nii.gz").measurement
        jsonschema.validate(document, schema())
        assert document["case"] == name
        assert document["level_status"] == row["level_status"] == "assumed"
        assert document["source"]["label_sha256"] == label_hash(label.array, label.affine)
        assert document["source"]["image"] == f"{name}.nii.gz"
        assert document["source"]["model"] == row["model"] != ""
        assert row["image"] == str(studies / f"{name}.nii.gz")
        assert Image.open(out / name / "overview.png").format == "PNG"
        listed = json.loads((out / name / "run.json").read_text())["files"]
        assert sorted([*listed, "run.json"]) == sorted(path.name for path in (out / name).iterdir())
        # What livf measure writes, but for the document's name.
        measured = {path.name for path in write_results(measure_file(out / name / "label.nii.gz"), tmp_path / name)}
        expected = {file.replace("label", name, 1) for file in measured} - {f"{name}.json"}
        assert set(listed) == expected | {"label.nii.gz", "measurement.json", "overview.png"}
        for side in ("left", "right"):
            foramen, truth = document["foramina"][side], foramen_truth(phantom.spine, side)
            assert float(row[f"{side}_area_mm2"]) == foramen["area_mm2"] == pytest.approx(truth.area_mm2, rel=0.25)
            assert float(row[f"{side}_height_mm"]) == foramen["height_mm"] == pytest.approx(truth.height_mm, abs=2)
            assert float(row[f"{side}_width_mm"]) == foramen["width_mm"]
            assert row[f"{side}_status"] == foramen["status"]
            # The network's probabilities widen the spread beyond that of the label alone.
            spread = float(row[f"{side}_area_sd_mm2"])
            assert spread == foramen["sd"]["area_mm2"] > without.foramina[side].sd["area_mm2"] + 0.01
    before = state(out)
    (weights / WEIGHTS_NAME).unlink()  # a new process that wants the network fails
    process = start(*command)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert "2 kept" in output
    after = state(out)
    assert {name for name in before if before[name] != after[name]} == {TABLE_NAME}
    assert table(out) == rows


def test_a_bad_file_does_not_stop_the_others(livf, model, tmp_path):
    studies = tmp_path / "studies"
    noise(studies / "first.nii.gz")
    (studies / "second.nii.gz").write_text("hello")
    noise(studies / "third.mha")
    status, output, errors = livf(studies, tmp_path / "none.nii", "-o", tmp_path / "out", "--model", model)
    assert status == 1
    assert "2 made, 1 failed" in output
    lines = errors.splitlines()
    assert [line.split(": ")[:3] for line in lines] == [
        ["livf", "error", str(tmp_path / "none.nii")],
        ["livf", "error", "second"],
    ]
    assert "there is no such file" in lines[0]
    assert str(studies / "second.nii.gz") in lines[1]
    assert sorted(table(tmp_path / "out")) == ["first", "third"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["first", TABLE_NAME, "third"]


def test_a_bug_in_one_case_is_told_and_the_others_are_made(settings, tmp_path, monkeypatch):
    from livf.lib.cohort import case as module

    measure = module.measure
    calls = []

    def fails_once(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError("by zero")
        return measure(*arguments, **options)

    monkeypatch.setattr(module, "measure", fails_once)
    sources, _ = find_sources([noise(tmp_path / "a.nii"), noise(tmp_path / "b.nii", 1)])
    report = run_cohort(sources, tmp_path / "out", settings, progress=False)
    assert report.failed == (("a", "ZeroDivisionError: by zero"),)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b", TABLE_NAME]


def test_unclear_levels_are_refused_with_the_reason(settings, tmp_path):
    large = Volume(np.random.default_rng(0).integers(0, 1000, (70, 130, 150)).astype(np.int16), AFFINE)
    write_image(tmp_path / "large.nii.gz", large)
    report = run_cohort(find_sources([tmp_path])[0], tmp_path / "out", settings, progress=False)
    (row,) = report.written
    assert row["level_status"] == "unclear"
    assert row.refusals == ("level_unclear", "level_unclear")
    assert row["left_area_mm2"] is row["right_width_sd_mm"] is None
    assert table(tmp_path / "out")["large"]["left_area_mm2"] == ""


@pytest.mark.parametrize("stop_at", [0, 1, 2])
def test_stopped_by_the_executor_and_resumed(stop_at, settings, tmp_path):
    sources, _ = find_sources([noise(tmp_path / f"{name}.nii", seed) for seed, name in enumerate("abc")])
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_cohort(sources, out, settings, executor=Here(stop_at), progress=False)
    assert sorted(table(out)) == list("abc")[:stop_at]
    before = state(out)
    report = run_cohort(sources, out, settings, executor=Here(), progress=False)
    assert [row.case for row in report.kept] == list("abc")[:stop_at]
    assert [row.case for row in report.written] == list("abc")[stop_at:]
    assert sorted(table(out)) == list("abc")
    assert all(state(out)[name] == before[name] for name in before if name != TABLE_NAME)


def test_cases_under_way_are_in_the_table_when_a_run_is_stopped(settings, tmp_path, monkeypatch):
    from livf.lib.cohort import run as module

    def stopped(futures):
        while not any(future.running() or future.done() for future in futures):
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "as_completed", stopped)
    sources, _ = find_sources([noise(tmp_path / f"{name}.nii", seed) for seed, name in enumerate("abc")])
    with ThreadPoolExecutor(1) as pool, pytest.raises(KeyboardInterrupt):
        run_cohort(sources, tmp_path / "out", settings, executor=pool, progress=False)
    made = sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert "a" in made and "c" not in made
    assert sorted(table(tmp_path / "out")) == made


@pytest.mark.parametrize("where", ["segment_file", "write_results", "_commit"])
def test_ctrl_c_within_a_case_leaves_nothing_of_it(where, settings, tmp_path, monkeypatch):
    from livf.lib.cohort import case as module

    source = Source("a", noise(tmp_path / "a.nii"))
    real = getattr(module, where)

    def stopped(*arguments, **options):
        if where != "_commit":
            real(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, where, stopped)
    with pytest.raises(KeyboardInterrupt):
        run_cohort([source], tmp_path / "out", settings, progress=False)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [TABLE_NAME]
    assert table(tmp_path / "out") == {}


@pytest.mark.slow
def test_a_killed_process_leaves_whole_cases_only(model, tmp_path):
    out = tmp_path / "out"
    for seed in range(6):
        noise(tmp_path / "studies" / f"case{seed}.nii", seed)
    process = start(tmp_path / "studies", "-o", out, "--model", model, "--device", "cpu")
    deadline = time.monotonic() + 60
    while not (out / "case1").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.communicate(timeout=60)
    whole = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
    assert "case1" in whole
    before = state(out)
    report = run_cohort(find_sources([tmp_path / "studies"])[0], out, Settings.of(model, "cpu"), progress=False)
    assert [row.case for row in report.kept] == [name for name in whole if name != TABLE_NAME]
    assert sorted(path.name for path in out.iterdir()) == [*(f"case{seed}" for seed in range(6)), TABLE_NAME]
    assert sorted(table(out)) == [f"case{seed}" for seed in range(6)]
    assert all(state(out)[name] == before[name] for name in before if name.split(os.sep)[0] in whole[:-1])


@pytest.mark.slow
def test_worker_processes_make_and_fail_the_same(settings, tmp_path):
    noise(tmp_path / "a.nii")
    (tmp_path / "bad.nii").write_text("hello")
    sources, _ = find_sources([tmp_path])
    with processes(1) as pool:
        there = run_cohort(sources, tmp_path / "there", settings, executor=pool, progress=False)
    here = run_cohort(sources, tmp_path / "here", settings, progress=False)
    assert [row.case for row in here.written] == ["a"]
    assert (there.written, there.failed) == (here.written, here.failed)
    files = sorted(path.name for path in (tmp_path / "here" / "a").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "there" / "a").iterdir())
    for name in files:
        assert (tmp_path / "there" / "a" / name).read_bytes() == (tmp_path / "here" / "a" / name).read_bytes()


def test_threads_share_the_network(settings, tmp_path):
    sources, _ = find_sources([noise(tmp_path / f"{name}.nii", seed) for seed, name in enumerate("abc")])
    with ThreadPoolExecutor(3) as pool:
        threaded = run_cohort(sources, tmp_path / "threads", settings, executor=pool, progress=False)
    assert threaded.written == run_cohort(sources, tmp_path / "alone", settings, progress=False).written


def test_another_image_model_or_point_is_made_anew(settings, tmp_path):
    image, target = noise(tmp_path / "a.nii"), tmp_path / "out" / "a"
    source = Source("a", image)
    target.parent.mkdir()
    first = run_case(source, target, settings)
    stamp = state(target)
    os.utime(image)  # a copy: the same content
    assert run_case(source, target, settings) == first
    assert state(target) == stamp
    other = Settings.of(save_small_model(tmp_path / "other", 0.001), "cpu")
    second = run_case(source, target, other)
    assert second["model"] != first["model"]
    assert run_case(source, target, Settings.of(other.model, "cpu", (0.0, 0.0, 0.0)))["level_status"] == "given"
    noise(image, seed=9)
    changed = run_case(source, target, other)
    assert changed["level_status"] == "assumed"
    assert json.loads((target / "run.json").read_text())["image_sha256"] == source.sha256()
    (target / "label.nii.gz").unlink()
    run_case(source, target, other)
    assert (target / "label.nii.gz").exists()
    assert [path.name for path in target.parent.iterdir()] == ["a"]


def test_a_failure_keeps_the_older_result(settings, tmp_path):
    image, target = noise(tmp_path / "a.nii"), tmp_path / "a"
    run_case(Source("a", image), target, settings)
    stamp = state(target)
    image.write_text("hello")
    with pytest.raises(InputError):
        run_case(Source("a", image), target, settings)
    assert state(target) == stamp


def test_what_is_not_ours_is_not_replaced(settings, tmp_path):
    image = noise(tmp_path / "one" / "T2.nii")
    (tmp_path / "T2").mkdir()
    (tmp_path / "T2" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="not made by livf run"):
        run_case(Source("T2", image), tmp_path / "T2", settings)
    assert (tmp_path / "T2" / "thesis.txt").read_text() == "mine"
    (tmp_path / "out").mkdir()
    run_case(Source("T2", image), tmp_path / "out" / "T2", settings)
    with pytest.raises(OutputError, match="another image"):
        run_case(Source("T2", noise(tmp_path / "two" / "T2.nii", 1)), tmp_path / "out" / "T2", settings)
    moved = shutil.move(image, tmp_path / "moved.nii")
    stamp = state(tmp_path / "out")
    assert run_case(Source("T2", moved), tmp_path / "out" / "T2", settings).case == "T2"
    assert state(tmp_path / "out") == stamp


def test_the_table_holds_whatever_lies_in_the_folder(settings, tmp_path):
    out = tmp_path / "out"
    run_cohort([Source("b", noise(tmp_path / "b.nii"))], out, settings, progress=False)
    (out / "notes").mkdir()
    shutil.copytree(out / "b", out / "damaged")
    (out / "damaged" / "measurement.json").write_text('{"schema": "livf.measurement/1"}')
    shutil.copytree(out / "b", out / ".writing-c")
    run_cohort([Source("a", noise(tmp_path / "a.nii", 1))], out, settings, progress=False)
    assert list(table(out)) == ["a", "b"]


def test_what_is_wrong_for_all_ends_the_run_at_once(livf, settings, tmp_path):
    image = noise(tmp_path / "a.nii")
    with pytest.raises(ModelError, match="no network weights"):
        Settings.of(tmp_path)
    for options, status in ((("--device", "cuda:99"), 2), (("--model", tmp_path / "none"), 2)):
        code, output, errors = livf(image, "-o", tmp_path / "out", *options)
        assert (code, output, errors.count("\n")) == (status, "", 1)
    code, _, errors = livf(image, noise(tmp_path / "b.nii"), "-o", tmp_path / "out", "--level-at", "0,0,0")
    assert code == 2
    assert "one image" in errors
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError):
        run_cohort([Source("a", image)], tmp_path / "file", settings)
    assert not (tmp_path / "out" / "a").exists()


def test_the_images_of_a_folder_are_found(tmp_path):
    for name in ("b.nii.gz", "a.NRRD", ".hidden.nii", "notes.txt", "sub/not-asked.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    dicom(tmp_path / "series")
    dicom(tmp_path / "patient" / "deep" / "er")
    dicom(tmp_path / ".livf" / "cache")
    (tmp_path / "enhanced.dcm").write_bytes(bytes(128) + b"DICM")
    sources, failed = find_sources([tmp_path, tmp_path / "b.nii.gz"])
    assert [source.case for source in sources] == ["a", "b", "enhanced", "patient", "series"]
    assert failed == ()
    sources, _ = find_sources([tmp_path / "series"])
    assert sources == (Source("series", tmp_path / "series"),)
    (tmp_path / "empty").mkdir()
    sources, failed = find_sources([tmp_path / "empty", tmp_path / "none"])
    assert sources == ()
    assert [name for name, _ in failed] == [str(tmp_path / "empty"), str(tmp_path / "none")]
    assert "holds no image" in failed[0][1]


def test_a_series_is_known_by_its_slices_and_nothing_else(tmp_path):
    folder = dicom(tmp_path / "series")
    source = Source("series", folder)
    before = source.sha256()
    (folder / "notes.txt").write_text("x")
    shutil.copytree(folder, tmp_path / "copy")
    assert source.sha256() == before == Source("series", tmp_path / "copy").sha256()
    (folder / "slice1").write_bytes(bytes(128) + b"DICM!")
    assert source.sha256() != before
    with pytest.raises(NotFoundError):
        Source("none", tmp_path / "none").sha256()


def test_equal_names_are_told_apart_or_refused(tmp_path):
    for name in ("s1/T2.nii.gz", "s2/t2.nii", "s1/other.nii", "s3/x.nii", "s3/x.mha"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    sources, failed = find_sources([tmp_path / "s1", tmp_path / "s2", tmp_path / "s3"])
    assert [source.case for source in sources] == ["s1_T2", "other", "s2_t2"]
    assert [name for name, _ in failed] == [str(tmp_path / "s3" / "x.mha"), str(tmp_path / "s3" / "x.nii")]
    assert "same case name" in failed[0][1]


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("Müller, Eva (T2).nii.gz", "Müller__Eva__T2_"),
        ("=cmd|x.nii", "_cmd_x"),
        ("-o.nii", "o"),
        ("..nii", "case"),
        ("nul.nii", "case_nul"),
        ("measurements.csv.nii", "case_measurements.csv"),
        ("脊" * 60 + ".nii", "脊" * 40),
    ],
)
def test_a_case_name_is_safe(name, case, tmp_path):
    (tmp_path / name).touch()
    assert find_sources([tmp_path / name])[0] == (Source(case, tmp_path / name),)


def test_importing_brings_no_torch():
    code = "import livf.cli, livf.lib.cohort, sys; assert not {'torch', 'monai', 'monailabel'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
