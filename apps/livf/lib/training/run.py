"""One training from a data set to a model folder."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from tqdm import tqdm

from livf.lib.dataset import Case, Dataset
from livf.lib.errors import InputError, ModelError
from livf.lib.segmentation.network import UNet3D, build
from livf.lib.segmentation.runtime import choose_device, keep_memory
from livf.lib.segmentation.weights import load_model, save_model
from livf.lib.storage import make_folder, write_text
from livf.lib.training import cache, cards, checkpoints, loop, numerics, run_folder
from livf.lib.training.distributed import Ranks
from livf.lib.training.presets import TrainingConfig, describe
from livf.lib.training.run_folder import CONFIG, ENVIRONMENT, FORMAT, MODEL, NUMERICS, SPLIT
from livf.lib.training.sampling import Epochs, TrainingCases, ValidationCases
from livf.lib.training.schedule import EpochSchedule
from livf.lib.training.split import Split

Say = Callable[[str], None]

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        run: Its folder.
        model: Folder of the weights, as ``livf segment --model`` takes it.
        version: Of the weights.
        dice: Mean validation Dice; None where nothing was validated.
    """

    run: Path
    model: Path
    version: str
    dice: float | None


@dataclass(frozen=True)
class Marked:
    """A data set with the fingerprints of its cases."""

    dataset: Dataset
    marks: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Dataset) -> Marked:
        """Read all files once."""
        return cls(dataset, tuple(cache.fingerprint(case) for case in dataset.cases))

    @property
    def fingerprint(self) -> str:
        """Of the whole: names, patients, groups and files."""
        rows = [
            f"{case.name}\t{case.patient}\t{case.group}\t{mark}"
            for case, mark in zip(self.dataset.cases, self.marks, strict=True)
        ]
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def part(self, names: Sequence[str]) -> tuple[tuple[Case, ...], tuple[str, ...]]:
        """Cases of these names, with their fingerprints, in the order of the names."""
        known = {case.name: (case, mark) for case, mark in zip(self.dataset.cases, self.marks, strict=True)}
        chosen = [known[name] for name in names]
        return tuple(case for case, _ in chosen), tuple(mark for _, mark in chosen)


def train(
    marked: Marked,
    run: Path,
    config: TrainingConfig,
    split: Split,
    *,
    seed: int = 0,
    init: Path | None = None,
    device: str | None = None,
    cache_folder: Path | None = None,
    ranks: Ranks | None = None,
    workers: int | None = None,
    say: Say = print,
) -> Trained:
    """Train a network in folder ``run``; call it again to go on after any kind of end.

    Args:
        marked: A data set that was checked.
        run: Made when missing.
        config: How.
        split: Who is trained on, and who chooses between checkpoints.
        seed: Of the first weights, of the order and of the variation of the cases.
        init: Folder of the weights to start from; None: random ones.
        device: ``cpu``, ``cuda``, ``cuda:N``; None: a GPU if there is one (of several processes each takes its own).
        cache_folder: Where prepared cases are kept; None: in the run, and removed at its end.
        ranks: Which process this is, where several take part and have joined; None: the only one.
        workers: Processes that prepare cases; None: one on a CPU, four on a GPU.
        say: Told what a user wants to know, a line at a time.

    Raises:
        UsageError: The folder holds another training, or one is at work in it.
        LivfError: A case or the weights cannot be used, or something cannot be written.
        KeyboardInterrupt: It can be gone on with.
    """
    ranks = ranks or Ranks()
    target = torch_device(device, ranks)
    if config.optimisation.micro_batches % ranks.world:
        raise InputError(
            f"{config.optimisation.micro_batches} micro-batches a step cannot be shared by {ranks.world} processes",
            "--micro-batches",
            f"give a multiple of {ranks.world}",
        )
    work = _Training(marked, run, config, split, seed, init, target, cache_folder or run / "cache", ranks, say)
    make_folder(run)
    with run_folder.alone(run) if ranks.first else nullcontext():
        ranks.first_does(work.settle)
        if not work.is_done():
            work.fit(1 if workers is None and target.type == "cpu" else 4 if workers is None else workers)
        ranks.wait()
        result = ranks.first_does(work.finish)
        if cache_folder is None and ranks.first:
            shutil.rmtree(run / "cache", ignore_errors=True)
    return result or Trained(run, run / MODEL, "", None)


def torch_device(name: str | None, ranks: Ranks) -> torch.device:
    """The device of this process."""
    device = choose_device(name)
    if str(device) == "cuda":
        return torch.device("cuda", ranks.local if ranks.world > 1 else torch.cuda.current_device())
    return device


class _Training:
    """What the steps of one training share."""

    def __init__(
        self,
        marked: Marked,
        run: Path,
        config: TrainingConfig,
        split: Split,
        seed: int,
        init: Path | None,
        device: torch.device,
        cache_folder: Path,
        ranks: Ranks,
        say: Say,
    ) -> None:
        self.marked, self.run, self.config, self.split, self.seed = marked, run, config, split, seed
        self.init, self.device, self.cache, self.ranks = init, device, cache_folder, ranks
        self.say: Say = say if ranks.first else _LOG.debug

    def settle(self) -> None:
        """Say and keep what this training is; refuse a folder that holds another."""
        start = None if self.init is None else load_model(self.init)
        if start is not None and start.config.network != self.config.network:
            raise ModelError(
                f"has the network {start.config.network}, the preset {self.config.network}",
                self.init or "",
                "give weights of the preset's network",
            )
        told = {
            "format": FORMAT,
            "dataset": str(self.marked.dataset.folder),
            "fingerprint": self.marked.fingerprint,
            "seed": self.seed,
            "init": None if start is None else start.version,
            "config": self.config.to_json(),
        }
        fresh = not (self.run / CONFIG).exists()
        run_folder.settle(self.run / CONFIG, told)
        run_folder.settle(self.run / SPLIT, {"seed": self.seed, **self.split.to_json()})
        if fresh or not (self.run / ENVIRONMENT).exists():
            run_folder.write_json(self.run / ENVIRONMENT, run_folder.environment(str(self.device)))
        write_text(
            self.run / "DATA_CARD.md",
            cards.data_card(self.marked.dataset, self.marked.fingerprint, self.marked.dataset.cases),
        )
        self.say(f"preset {self.config.name}, seed {self.seed}, {len(self.split.training)} cases to train on, "
                 f"{len(self.split.validation)} to validate")  # fmt: skip
        for line in describe(self.config):
            self.say(f"  {line}")

    def is_done(self) -> bool:
        """Whether all steps were made; what is left is to put the weights in their folder."""
        path = self.run / loop.CHECKPOINT
        return path.exists() and checkpoints.load(path).finished

    def fit(self, workers: int) -> None:
        """Make the steps that are left."""
        config = self.config
        if self.device.type == "cpu":
            keep_memory()
        shape = config.preprocess.box_shape
        training, validation = self._prepared()
        cases = TrainingCases(training, config, self.seed)
        network = self._network()
        epochs = Epochs(len(training), self.seed, config.optimisation.batch, config.optimisation.micro_batches)
        plan = loop.Plan(
            schedule=EpochSchedule(config.optimisation, epochs.steps),
            steps=epochs,
            check_every=config.optimisation.validate_every * epochs.steps,
            average=config.optimisation.average,
            clip=config.optimisation.clip,
            workers=workers,
        )
        ways = self._numerics(network, cases, epochs)
        torch.set_num_threads(ways.threads)
        self.say(f"computing in {ways.precision}, {ways.layout}, on {self.device}"
                 + "".join(f"; {name} {seconds:.2f} s a step" for name, seconds in ways.measured))  # fmt: skip
        with _Bar(config.optimisation.epochs * epochs.steps, self.ranks.first) as bar:
            loop.fit(
                network,
                cases,
                ValidationCases(validation, shape),
                self.run,
                plan,
                numerics=ways,
                device=self.device,
                ranks=self.ranks,
                tensorboard=True,
                tell=bar.tell,
            )

    def finish(self) -> Trained:
        """Put the best weights, and what they are, into the model folder."""
        best = checkpoints.load(self.run / loop.BEST)
        check = cards.best_check(self.run)
        metadata: dict[str, Any] = {
            "training": {
                "run": run_folder.read_json(self.run / CONFIG),
                "environment": run_folder.read_json(self.run / ENVIRONMENT),
                "step": best.step,
            },
            "metrics": {"validation": check} if check else {},
        }
        folder = self.run / MODEL
        save_model(folder, best.weights, self.config.model, metadata)
        version = load_model(folder).version
        card = cards.model_card(self.run, self.config, version)
        for place in (self.run, folder):
            write_text(place / "MODEL_CARD.md", card)
        return Trained(self.run, folder, version, best.best if check else None)

    def _prepared(self) -> tuple[list[cache.PreparedCase], list[cache.PreparedCase]]:
        parts = [self.marked.part(names) for names in (self.split.training, self.split.validation)]
        cases = [case for its, _ in parts for case in its]
        marks = [mark for _, its in parts for mark in its]
        mine = slice(self.ranks.rank, None, self.ranks.world)
        with tqdm(total=len(cases[mine]), unit="case", desc="prepare", disable=not self.ranks.first, mininterval=1,
                  leave=False) as bar:  # fmt: skip
            cache.prepare_cases(
                cases[mine],
                self.config.preprocess,
                self.cache,
                fingerprints=marks[mine],
                progress=lambda done, _: bar.update(done - bar.n),
            )
        self.ranks.wait()
        loaded = [
            [cache.load_case(case, self.config.preprocess, self.cache, mark) for case, mark in zip(*part, strict=True)]
            for part in parts
        ]
        return loaded[0], loaded[1]

    def _network(self) -> UNet3D:
        torch.manual_seed(self.seed)
        if self.init is None:
            return build(self.config.network)
        return load_model(self.init).network.train()

    def _numerics(self, network: UNet3D, cases: TrainingCases, epochs: Epochs) -> numerics.Numerics:
        """As the run was begun, else what is fastest."""
        path = self.run / NUMERICS

        def choose() -> None:
            if not path.exists():
                pairs = [cases[key] for key in epochs(0)[0]]
                images, targets = (torch.stack([torch.from_numpy(pair[part]) for pair in pairs]) for part in (0, 1))
                found = numerics.choose(self.config, network, images, targets, loop.loss_function(), self.device)
                run_folder.write_json(path, found.to_json())

        self.ranks.first_does(choose)
        self.ranks.wait()
        return numerics.Numerics.from_json(run_folder.read_json(path))


class _Bar:
    """Progress with the time left, on standard error."""

    def __init__(self, steps: int, shown: bool) -> None:
        self._bar = tqdm(total=steps, unit="step", disable=not shown, mininterval=1)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def tell(self, status: loop.Status) -> None:
        """Draw."""
        if self._bar.n == 0 and status.step > 1:
            self._bar.initial = status.step - 1
            self._bar.n = status.step - 1
        best = f", validation Dice {status.best:.3f}" if status.best >= 0 else ""
        self._bar.set_postfix_str(f"loss {status.loss:.3f}{best}", refresh=False)
        self._bar.update(status.step - self._bar.n)
