"""Whole trainings with the smoke preset: what a run leaves, kills, other folders, several processes."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from livf.cli import main
from livf.lib.dataset import read_dataset
from livf.lib.errors import ModelError, UsageError
from livf.lib.images import read_image
from livf.lib.segmentation import Segmenter, load_model
from livf.lib.training import Marked, train
from livf.lib.training.presets import preset
from livf.lib.training.run_folder import alone
from livf.lib.training.split import by_column

SHORT = preset("smoke").changed({"epochs": 3})


def start(dataset: Path, run: Path, **options):
    marked = Marked.of(read_dataset(dataset))
    options = {"config": SHORT, "seed": 3, "workers": 0, "say": lambda line: None} | options
    config = options.pop("config")
    return train(marked, run, config, by_column(marked.dataset.cases), **options)


def curve(run: Path) -> list[dict]:
    """The log without its times."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def weights(run: Path) -> str:
    return hashlib.sha256((run / "model" / "livf-unet.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def run(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    start(tiny_dataset, folder)
    return folder


def test_a_run_holds_what_is_needed_to_repeat_it(tiny_dataset: Path, run: Path) -> None:
    config, split, environment = (json.loads((run / f"{name}.json").read_text())
                                  for name in ("config", "split", "environment"))  # fmt: skip
    assert config["config"] == SHORT.to_json()
    assert config["seed"] == 3
    assert [len(split[part]) for part in ("training", "validation", "test")] == [7, 2, 1]
    assert environment["packages"]["torch"] and environment["packages"]["monai"] and environment["python"]
    assert json.loads((run / "numerics.json").read_text())["precision"] == "fp32"
    assert len([line for line in curve(run) if "loss" in line]) == 3 * 4  # 7 cases in twos
    assert list((run / "tensorboard").iterdir())
    assert not (run / "cache").exists()
    assert not list(run.rglob("*.pt")) and not list(run.rglob("*.pkl"))


def test_the_model_is_one_that_livf_segments_with(tiny_dataset: Path, run: Path) -> None:
    model = load_model(run / "model")
    assert model.config == SHORT.model
    assert model.metadata["training"]["run"]["seed"] == 3
    volume = read_image(next((tiny_dataset / "images").iterdir()))
    found = Segmenter.load(run / "model", device="cpu")(volume)
    assert found.label.shape == volume.shape
    assert found.model == model.version


def test_cards_are_made_from_the_run(tiny_dataset: Path, run: Path) -> None:
    card = (run / "MODEL_CARD.md").read_text()
    assert card == (run / "model" / "MODEL_CARD.md").read_text()
    assert "Not a medical device" in card
    assert "7 training, 2 validation, 1 test" in card
    assert "seed 3" in card
    best = max((line for line in curve(run) if "validation" in line), key=lambda line: sum(line["validation"]))
    assert " | ".join(f"{value:.3f}" for value in best["validation"]) in card
    data = (run / "DATA_CARD.md").read_text()
    assert "| cases | 10 |" in data and "| healthy | 5 |" in data
    assert json.loads((run / "config.json").read_text())["fingerprint"] in data
    assert not re.search(r"\bp0\d\b", data)  # no patient is named


def test_a_second_call_finds_it_done(tiny_dataset: Path, run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.glob("*.safetensors")}
    again = start(tiny_dataset, run)
    assert {path: path.stat().st_mtime_ns for path in run.glob("*.safetensors")} == before
    assert again.version == load_model(run / "model").version


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"config": SHORT.changed({"epochs": 4})}, r"config.optimisation.epochs \(3, not 4\)"),
        ({"seed": 4}, r"seed \(3, not 4\)"),
    ],
)
def test_a_folder_of_another_training_is_refused(tiny_dataset: Path, run: Path, options: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        start(tiny_dataset, run, **options)


def test_two_trainings_do_not_share_a_folder(tiny_dataset: Path, run: Path) -> None:
    with alone(run), pytest.raises(UsageError, match="another training is at work"):
        start(tiny_dataset, run)


def test_it_starts_from_given_weights(tiny_dataset: Path, run: Path, tmp_path: Path) -> None:
    start(tiny_dataset, tmp_path / "on", init=run / "model", config=SHORT.changed({"epochs": 1}))
    told = json.loads((tmp_path / "on" / "config.json").read_text())
    assert told["init"] == load_model(run / "model").version
    first = next(line["loss"] for line in curve(tmp_path / "on") if "loss" in line)
    assert first < curve(run)[0]["loss"] - 0.1
    with pytest.raises(ModelError, match="give weights of the preset's network"):
        start(tiny_dataset, tmp_path / "other", init=run / "model", config=preset("cpu"))
    assert not (tmp_path / "other" / "config.json").exists()


def _train_and_tell(dataset: Path, folder: Path) -> None:
    import torch

    torch.set_num_threads(1)
    start(dataset, folder)


def test_kills_leave_no_trace_in_the_result(tiny_dataset: Path, run: Path, tmp_path: Path) -> None:
    """Killed ten times on the way: once in the preparation, then after a random number of lines of the log."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["livf.lib.training.run", "torch.utils.tensorboard"])
    folder = tmp_path / "killed"
    rng = random.Random(0)
    moments = [0, *sorted(rng.choices(range(1, len(curve(run))), k=9))]
    killed = 0
    for moment in moments:
        process = context.Process(target=_train_and_tell, args=(tiny_dataset, folder))
        process.start()
        pause = rng.uniform(0, 0.02)
        while process.is_alive() and not _reached(folder, moment):
            time.sleep(0.001)
        time.sleep(pause)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.join()
    assert killed >= 5
    start(tiny_dataset, folder)
    assert curve(folder) == curve(run)
    assert weights(folder) == weights(run)


def _reached(folder: Path, moment: int) -> bool:
    log = folder / "log.jsonl"
    return (folder / "cache").exists() if moment == 0 else log.exists() and log.read_text().count("\n") >= moment


@pytest.mark.slow
def test_two_processes_are_one_with_the_same_micro_batches(tiny_dataset: Path, tmp_path: Path) -> None:
    """Seven cases in micro-batches of three, two a step: in the last step of an epoch one process has no case."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    common = ["train", str(tiny_dataset), "--preset", "smoke", "--epochs", "3", "--workers", "0",
              "--validation", "part", "--batch", "3", "--device", "cpu"]  # fmt: skip
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
                "-m", "livf"]  # fmt: skip
    done = subprocess.run([*torchrun, *common, "-o", str(tmp_path / "two")], env=environment, capture_output=True,
                          text=True, timeout=150, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("preset smoke") == 1  # only one process talks
    assert main([*common, "-o", str(tmp_path / "one"), "--micro-batches", "2"]) == 0
    one, two = curve(tmp_path / "one"), curve(tmp_path / "two")
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for name in ("loss", "rate", "training"):
        np.testing.assert_allclose(
            [line[name] for line in two if name in line], [line[name] for line in one if name in line], rtol=1e-4
        )
    for name in ("validation", "worst"):  # sharded: none dropped, none counted twice
        np.testing.assert_allclose(
            [line[name] for line in two if name in line], [line[name] for line in one if name in line], atol=2e-3
        )


def test_an_interrupt_is_one_line_and_the_run_goes_on(tiny_dataset: Path, run: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "livf", "train", str(tiny_dataset), "-o", str(tmp_path / "run"), "--seed", "3",
               "--preset", "smoke", "--epochs", "3", "--validation", "part", "--device", "cpu"]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               start_new_session=True, preexec_fn=_heed_interrupts)  # fmt: skip
    log = tmp_path / "run" / "log.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_text().count("\n") >= 3) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert f"livf: stopped; the same command goes on from {tmp_path / 'run'}" in said
    assert "Traceback" not in said
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
    assert curve(tmp_path / "run") == curve(run)
    assert weights(tmp_path / "run") == weights(run)


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("command", ["train", "crossval"])
def test_bad_data_are_told_before_anything_is_trained(
    command: str, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    bad = tmp_path / "bad"
    shutil.copytree(tiny_dataset, bad)
    (bad / "labels" / "case03.nii.gz").write_bytes(b"no image")
    (bad / "labels" / "case05.nii.gz").unlink()
    assert main([command, str(bad), "-o", str(tmp_path / "run"), "--preset", "smoke"]) == 1
    # Each on a line of its own, as `livf data check` has them.
    trained = capsys.readouterr().err
    assert main(["data", "check", str(bad)]) == 1
    assert trained == capsys.readouterr().err
    said = trained.splitlines()
    assert [line for line in said if line.startswith("livf: error: ")] == said
    assert sorted(name for line in said for name in ("case03", "case05") if name in line) == ["case03", "case05"]
    assert not (tmp_path / "run").exists()
