"""A cross-validation from a data set to tables, fold by fold, each of which can be run alone and gone on with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from livf.lib.cohort import processes
from livf.lib.dataset import Case, Dataset, read_case_image
from livf.lib.errors import UsageError
from livf.lib.evaluation import PARTS, Evaluation, Pair, Reading, Settings, evaluate, subjects_of
from livf.lib.images import write_label
from livf.lib.numberings import OURS
from livf.lib.segmentation import Segmenter
from livf.lib.storage import make_folder
from livf.lib.training import run_folder
from livf.lib.training import split as splitting
from livf.lib.training.distributed import Ranks
from livf.lib.training.presets import TrainingConfig
from livf.lib.training.run import Marked, torch_device, train
from livf.lib.training.split import Split

Say = Callable[[str], None]

FORMAT: Final = "livf.crossval/1"
FOLDS: Final = "folds.json"
#: Where a fold's labels go: ``fold_K/predictions/PART/CASE.nii.gz``.
PREDICTIONS: Final = "predictions"
_SUFFIX: Final = ".nii.gz"
_EVALUATION: Final = "evaluation"
_CACHE: Final = "cache"
#: Fewer labels than this are scored before other processes have started.
_FEW: Final = 20


@dataclass(frozen=True)
class _Fold:
    """One fold of a cross-validation."""

    number: int
    folder: Path
    split: Split

    def prediction(self, part: str, case: str) -> Path:
        """Where the label of a case goes."""
        return self.folder / PREDICTIONS / part / f"{case}{_SUFFIX}"

    def missing(self) -> list[tuple[str, str]]:
        """Parts and cases without a prediction."""
        return [
            (part, case)
            for part in PARTS
            for case in getattr(self.split, part)
            if not self.prediction(part, case).exists()
        ]


def crossvalidate(
    dataset: Dataset,
    output: Path,
    config: TrainingConfig,
    *,
    folds: int = 5,
    only: int | None = None,
    seed: int = 0,
    device: str | None = None,
    ranks: Ranks | None = None,
    workers: int | None = None,
    say: Say = print,
) -> tuple[str, ...]:
    """Train and test every fold, then make the tables; call it again to go on after any kind of end.

    Leaves ``folds.json``, a run folder ``fold_K`` each with its predictions of all parts in the original image space,
    and ``evaluation`` with tables, figures and the report.

    Args:
        dataset: A data set that was checked.
        output: Made when missing.
        config: How each fold is trained.
        folds: How many.
        only: Only this fold, from 1; tables are made by a call without it.
        seed: Of the draw of the folds and of each training.
        device: As :func:`livf.lib.training.run` takes it.
        ranks: Which process this is, where several take part and have joined.
        workers: Processes that prepare cases.
        say: Told what a user wants to know, a line at a time.

    Returns:
        The result in a few lines.

    Raises:
        UsageError: The folder holds a cross-validation of another data set, seed or configuration; or there is no
            such fold.
        LivfError: Something cannot be used or written.
        KeyboardInterrupt: It can be gone on with.
    """
    ranks = ranks or Ranks()
    splits = _draw(dataset, folds, seed, only)
    marked = Marked.of(dataset)
    make_folder(output)
    document = _document(marked, config, splits, seed)
    ranks.first_does(lambda: run_folder.settle(output / FOLDS, document))
    all_folds = [_Fold(number, output / f"fold_{number}", split) for number, split in enumerate(splits, start=1)]
    cases = {case.name: case for case in dataset.cases}
    for fold in all_folds:
        if only in (None, fold.number):
            if ranks.first:
                say(f"fold {fold.number} of {folds}")
            trained = train(
                marked,
                fold.folder,
                config,
                fold.split,
                seed=seed,
                device=device,
                cache_folder=output / _CACHE,
                ranks=ranks,
                workers=workers,
                say=say,
            )
            _predict(fold, cases, trained.model, str(torch_device(device, ranks)), ranks)
            ranks.wait()
    undone = [str(fold.number) for fold in all_folds if fold.missing()]
    if only is not None:
        rest = f"folds {', '.join(undone)} are still to be run" if undone else "all folds are done"
        return (f"fold {only} is done, {rest}; the same command without --fold makes the tables", str(output))
    found = ranks.first_does(lambda: _evaluate(dataset, all_folds, output))
    if ranks.first:
        shutil.rmtree(output / _CACHE, ignore_errors=True)  # made again if it is ever needed
    return (*found.summary, f"report        {found.report}") if found is not None else ()


def _draw(dataset: Dataset, number: int, seed: int, only: int | None) -> tuple[Split, ...]:
    splits = splitting.folds(dataset.cases, number, seed)
    if only is not None and not 1 <= only <= number:
        raise UsageError(f"there is no fold {only}", "--fold", f"give 1 to {number}")
    return splits


def _document(marked: Marked, config: TrainingConfig, splits: Sequence[Split], seed: int) -> dict[str, Any]:
    """What is kept of the draw, and what a later call must agree with."""
    patients = {case.name: case.patient for case in marked.dataset.cases}
    parts = []
    for number, split in enumerate(splits, start=1):
        names = split.to_json()
        whose = {part: sorted({patients[name] for name in cases}) for part, cases in names.items()}
        parts.append({"fold": number, "patients": whose, "cases": names})
    return {
        "format": FORMAT,
        "dataset": str(marked.dataset.folder),
        "fingerprint": marked.fingerprint,
        "seed": seed,
        "config": config.to_json(),
        "folds": parts,
    }


def _predict(fold: _Fold, cases: Mapping[str, Case], model: Path, device: str, ranks: Ranks) -> None:
    """Segment every case of a fold as ``livf segment`` does; each process its share. What is there is kept."""
    todo = fold.missing()[ranks.rank :: ranks.world]
    if not todo:
        return
    segmenter = Segmenter.load(model, device=device)
    for part, name in tqdm(todo, unit="case", desc="predict", disable=not ranks.first, mininterval=1, leave=False):
        target = fold.prediction(part, name)
        make_folder(target.parent)
        found = segmenter(read_case_image(cases[name]))
        write_label(target, found.label, found.affine)


def _evaluate(dataset: Dataset, all_folds: Sequence[_Fold], output: Path) -> Evaluation:
    """The paper's tables and figures, from all parts of all folds."""
    cases = {case.name: case for case in dataset.cases}
    pairs = [
        Pair(
            case=name,
            prediction=fold.prediction(part, name),
            truth=cases[name].label,
            patient=cases[name].patient,
            group=cases[name].group or "",
            fold=fold.number,
            part=part,
        )
        for fold in all_folds
        for part in PARTS
        for name in getattr(fold.split, part)
    ]
    settings = Settings(reading=Reading(truth=dataset.cases[0].numbering or OURS))
    count = min(os.cpu_count() or 1, len(pairs))
    with (
        processes(count) if count > 1 and len(pairs) > _FEW else nullcontext() as executor,
        tqdm(total=len(pairs), unit="label", desc="evaluate", mininterval=1, leave=False) as bar,
    ):
        return evaluate(
            pairs,
            output / _EVALUATION,
            settings,
            subjects=subjects_of(dataset.folder),
            title=f"Cross-validation of {dataset.folder.resolve().name}, {len(all_folds)} folds",
            executor=executor,
            progress=lambda done, _: bar.update(done - bar.n),
        )
