"""Many phantoms on all cores, and their foramina beside those of the paper."""

from __future__ import annotations

import csv
import io
import json
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from livf.lib.errors import LivfError
from livf.lib.storage import make_folder, write_text
from livf.lib.synthesis.morphometry import GROUPS, Group
from livf.lib.synthesis.phantom import GENERATOR_VERSION, make_phantom
from livf.lib.synthesis.studies import StudyPaths, group_of, study_name, write_image_only, write_study

_LOG: Final = logging.getLogger(__name__)
#: Chen et al. 2022, mean and standard deviation of their 100 subjects: key, heading, unit, mean, SD.
MEASURES: Final = (
    ("area_mm2", "FA", "mm2", 133.4, 30.5),
    ("height_mm", "FH", "mm", 19.75, 2.31),
    ("width_mm", "FW", "mm", 6.30, 1.77),
)


@dataclass(frozen=True)
class CohortReport:
    """What became of a cohort.

    Attributes:
        documents: Truth of every case that is there, by seed (empty when only images were written).
        written: Cases made now.
        kept: Cases found whole from an earlier run.
        failed: Case, and why it could not be made.
    """

    documents: tuple[dict[str, Any], ...]
    written: tuple[str, ...]
    kept: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


def write_cohort(
    folder: str | os.PathLike[str],
    seeds: Sequence[int],
    *,
    group: Group | None = None,
    workers: int | None = None,
    images_only: bool = False,
    progress: bool | None = None,
) -> CohortReport:
    """Write many studies. Whole ones from an earlier run are kept; a case that fails does not stop the others.

    Args:
        folder: Data set's folder, or with ``images_only`` the flat folder of images.
        seeds: One for each case.
        group: Diagnosis group of all; None: as often as in the paper (:func:`group_of`).
        workers: Processes; None: one a core.
        images_only: Only the images, flat.
        progress: Whether to show a bar; None: when standard error is a terminal.

    Raises:
        OutputError: The folder cannot be made or written to.
        KeyboardInterrupt: Cases under way were finished, none is half-written; run again to go on.
    """
    from tqdm import tqdm

    make_folder(folder)
    tasks = {seed: (Path(folder), seed, group or group_of(seed), images_only) for seed in dict.fromkeys(seeds)}
    kept = [seed for seed, task in tasks.items() if _is_there(*task)]
    todo = [seed for seed in tasks if seed not in set(kept)]
    written, failed = [], []
    with tqdm(
        total=len(tasks), initial=len(kept), unit="case", disable=None if progress is None else not progress
    ) as bar:
        for seed, failure in _run(_make, {seed: tasks[seed] for seed in todo}, workers):
            if failure is None:
                written.append(seed)
            else:
                failed.append((seed, failure))
            bar.update()
    documents = []
    if not images_only:
        lost = {seed for seed, _ in failed}
        documents = [_read(StudyPaths.of(folder, study_name(seed))) for seed in sorted(tasks) if seed not in lost]
        write_text(Path(folder) / "cases.csv", _cases(Path(folder)))
    return CohortReport(
        documents=tuple(document for document in documents if document),
        written=tuple(study_name(seed) for seed in sorted(written)),
        kept=tuple(study_name(seed) for seed in kept),
        failed=tuple((study_name(seed), failure) for seed, failure in sorted(failed)),
    )


def _make(folder: Path, seed: int, group: Group, images_only: bool) -> str | None:
    """Make one case; the reason when it fails."""
    try:
        if images_only:
            write_image_only(folder, seed, group)
        else:
            write_study(folder, make_phantom(seed, group=group))
    except LivfError as error:
        return error.line
    except Exception as error:
        _LOG.exception("%s failed", study_name(seed))
        return f"{type(error).__name__}: {error}"
    return None


def _is_there(folder: Path, seed: int, group: Group, images_only: bool) -> bool:
    name = study_name(seed)
    if images_only:
        return (folder / f"{name}.nii.gz").is_file()
    paths = StudyPaths.of(folder, name)
    document = _read(paths) if paths.exist() else None
    return document is not None and document["group"] == group


def _read(paths: StudyPaths) -> dict[str, Any] | None:
    """Truth of a study; None when it is missing, damaged or of another version of the generator."""
    try:
        document = json.loads(paths.truth.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or document.get("generator") != GENERATOR_VERSION:
        return None
    return document


def _run(
    make: Callable[..., str | None], tasks: dict[int, tuple[Any, ...]], workers: int | None
) -> Iterator[tuple[int, str | None]]:
    """Results in the order in which they come."""
    workers = min(workers or os.cpu_count() or 1, len(tasks))
    if workers <= 1:
        for seed, task in tasks.items():
            yield seed, make(*task)
        return
    with _pool(workers) as pool:
        futures: dict[Future[str | None], int] = {pool.submit(make, *task): seed for seed, task in tasks.items()}
        for future in as_completed(futures):
            try:
                yield futures[future], future.result()
            except BrokenProcessPool:
                yield futures[future], "a worker process died, perhaps for want of memory; try fewer workers"


@contextmanager
def _pool(workers: int) -> Iterator[Executor]:
    # spawn on every system: a forked child would inherit locks of threads it does not have.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_ignore_interrupt)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupt() -> None:
    """Ctrl-C reaches the whole group; a worker ends its case, the parent drops the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _cases(folder: Path) -> str:
    """The table of all whole cases in a data set's folder. A phantom is its own patient."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("case", "patient", "group", "sex", "age", "image", "label", "truth"))
    for truth in sorted((folder / "truth").glob("*.json")):
        paths = StudyPaths.of(folder, truth.stem)
        document = _read(paths) if paths.exist() else None
        if document:
            anatomy = document["parameters"]["anatomy"]
            files = (path.relative_to(folder).as_posix() for path in (paths.image, paths.label, paths.truth))
            table.writerow((truth.stem, truth.stem, document["group"], anatomy["sex"], f"{anatomy['age']:.0f}", *files))
    return text.getvalue()


def summary(documents: Sequence[dict[str, Any]]) -> list[str]:
    """Lines of a table: mean and SD of each measure over all foramina, by group, beside the paper's."""
    head = f"{'':<12}{'cases':>6}" + "".join(f"{f'{name} ({unit})':>18}" for _, name, unit, _, _ in MEASURES)
    lines = [head + f"{'refused':>9}{'no FW':>7}"]
    for title, chosen in (("all", GROUPS), *((group, (group,)) for group in GROUPS)):
        members = [document for document in documents if document["group"] in chosen]
        if members:
            lines.append(_row(title, members))
    paper = "".join(f"{f'{mean:.1f} ± {sd:.1f}' if key == 'area_mm2' else f'{mean:.2f} ± {sd:.2f}':>18}"
                    for key, _, _, mean, sd in MEASURES)  # fmt: skip
    lines.append(f"{'Chen 2022':<12}{100:>6}{paper}")
    if documents:
        lines.append(_beside(documents))
    return lines


def _values(documents: Sequence[dict[str, Any]], key: str) -> list[float]:
    sides = [side[key] for document in documents for side in document["foramina"].values()]
    return [value for value in sides if value is not None]


def _row(title: str, documents: Sequence[dict[str, Any]]) -> str:
    cells = ""
    for key, *_ in MEASURES:
        values = _values(documents, key)
        digits = 1 if key == "area_mm2" else 2
        spread = f"{np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else "-"
        cells += f"{f'{np.mean(values):.{digits}f} ± {spread}' if values else '-':>18}"
    sides = 2 * len(documents)
    refused = sides - len(_values(documents, "area_mm2"))
    without = sides - refused - len(_values(documents, "width_mm"))
    return f"{title:<12}{len(documents):>6}{cells}{refused:>9}{without:>7}"


def _beside(documents: Sequence[dict[str, Any]]) -> str:
    cells = ""
    for key, _, _, mean, _ in MEASURES:
        values = _values(documents, key)
        cells += f"{f'{100 * (np.mean(values) / mean - 1):+.0f} %' if values else '-':>18}"
    return f"{'difference':<12}{'':>6}{cells}"
