"""``livf train`` and ``livf crossval``."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livf.cli.arguments import DEVICE_HELP, RESEARCH_USE, Subparsers, natural, positive
from livf.lib.training.presets import DEFAULT, PRESETS

if TYPE_CHECKING:
    from livf.lib.training.distributed import Ranks
    from livf.lib.training.presets import TrainingConfig

_CHANGES = ("epochs", "batch", "micro_batches", "rate", "precision")


def add_train(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add ``livf train`` to the parser."""
    parser = commands.add_parser("train", parents=[common], help="train a network on images with labels",
                                 epilog=RESEARCH_USE)  # fmt: skip
    _add_dataset(parser)
    parser.add_argument("-o", "--output", metavar="RUN", type=Path, required=True,
                        help="folder of the run; one that was stopped goes on")  # fmt: skip
    parser.add_argument("--validation", metavar="SHARE|part", type=_validation, default=0.1,
                        help="share of the patients to validate on, or the word part: as the column "
                        "'part' of cases.csv says (default: %(default)s)")  # fmt: skip
    _add_training(parser)
    parser.add_argument("--init", metavar="MODEL", type=Path, help="folder of the weights to start from")
    parser.set_defaults(run=_train)


def add_crossval(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add ``livf crossval`` to the parser."""
    parser = commands.add_parser("crossval", parents=[common], epilog=RESEARCH_USE,
                                 help="cross-validate, and make the paper's tables and figures")  # fmt: skip
    _add_dataset(parser)
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True,
                        help="folder of the folds and tables; one that was stopped goes on")  # fmt: skip
    parser.add_argument("--folds", metavar="N", type=positive, default=5,
                        help="how many folds (default: %(default)s, 70/10/20 %% as the paper)")  # fmt: skip
    parser.add_argument("--fold", metavar="K", type=positive, help="only this fold, from 1; without tables")
    _add_training(parser)
    parser.set_defaults(run=_crossval)


def _add_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", type=Path,
                        help="folder of images with labels, with cases.csv or without")  # fmt: skip


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=tuple(PRESETS), default=DEFAULT, help="default: %(default)s")
    parser.add_argument("--seed", metavar="S", type=natural, default=0, help="of all that is drawn (default: 0)")
    parser.add_argument("--epochs", metavar="N", type=positive, help="in place of the preset's")
    parser.add_argument("--batch", metavar="N", type=positive, help="cases that pass the network together, a process")
    parser.add_argument("--micro-batches", metavar="N", type=positive,
                        help="batches a step, over all processes (default: one a process)")  # fmt: skip
    parser.add_argument("--rate", metavar="R", type=_rate, help="learning rate in place of the preset's")
    parser.add_argument("--precision", choices=("measured", "fp32", "bf16", "fp16"),
                        help="arithmetic (default: the fastest of what the device can do)")  # fmt: skip
    parser.add_argument("--workers", metavar="W", type=natural, help="processes that prepare cases; 0: none")
    parser.add_argument("--device", help=DEVICE_HELP)


def _train(arguments: argparse.Namespace) -> int:
    def work(ranks: Ranks, config: TrainingConfig) -> None:
        from livf.lib.training.run import Marked, train
        from livf.lib.training.split import by_column, by_share

        dataset = _dataset(arguments.dataset, ranks)
        cases = dataset.cases
        part = arguments.validation
        split = by_column(cases) if part == "part" else by_share(cases, part, arguments.seed)
        trained = train(
            Marked.of(dataset),
            arguments.output,
            config,
            split,
            seed=arguments.seed,
            init=arguments.init,
            device=arguments.device,
            ranks=ranks,
            workers=arguments.workers,
            say=_say,
        )
        if ranks.first:
            score = "" if trained.dice is None else f", validation Dice {trained.dice:.3f}"
            print(f"network  {trained.version}{score}")
            print(f"weights  {trained.model}   (livf segment IMAGE -o LABEL --model {trained.model})")
            print(RESEARCH_USE)

    return _together(arguments, work)


def _crossval(arguments: argparse.Namespace) -> int:
    def work(ranks: Ranks, config: TrainingConfig) -> None:
        from livf.lib.crossval import crossvalidate

        done = crossvalidate(
            _dataset(arguments.dataset, ranks),
            arguments.output,
            config,
            folds=arguments.folds,
            only=arguments.fold,
            seed=arguments.seed,
            device=arguments.device,
            ranks=ranks,
            workers=arguments.workers,
            say=_say,
        )
        if ranks.first:
            for line in done:
                print(line)
            print(RESEARCH_USE)

    return _together(arguments, work)


def _together(arguments: argparse.Namespace, work: Callable[[Any, Any], None]) -> int:
    """Do the work in this process or, started by torchrun, in several."""
    # Threads that wait by spinning take the core from the process that prepares the next cases. Read with torch.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from livf.lib.training.distributed import PeerError, from_environment, joined
    from livf.lib.training.presets import preset
    from livf.lib.training.run import torch_device

    ranks = from_environment()
    changes = {name: getattr(arguments, name) for name in _CHANGES}
    changes["micro_batches"] = changes["micro_batches"] or ranks.world
    config = preset(arguments.preset).changed(changes)
    try:
        with joined(ranks, torch_device(arguments.device, ranks)):
            work(ranks, config)
    except PeerError:
        return 1  # the first process has told why
    except KeyboardInterrupt:
        if ranks.first:
            print(f"\nlivf: stopped; the same command goes on from {arguments.output}", file=sys.stderr)
        return 130
    return 0


def _dataset(folder: Path, ranks: Ranks) -> Any:
    """Read the data set; the first process checks every voxel before anything is trained."""
    from livf.lib.dataset import open_dataset, read_dataset

    checked = ranks.first_does(lambda: open_dataset(folder))
    return checked if checked is not None else read_dataset(folder)


def _say(line: str) -> None:
    print(line, flush=True)


def _validation(text: str) -> float | str:
    if text == "part":
        return text
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a share from 0 to 1 nor the word part")
    return share


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a learning rate between 0 and 1")
    return rate
