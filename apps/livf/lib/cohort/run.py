"""The cases of a cohort through any executor, and the table of all of them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, as_completed, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from livf.lib.cohort.case import Settings, finished, record_of, run_case, segmenter_of
from livf.lib.cohort.sources import Source
from livf.lib.cohort.table import Row, write_table
from livf.lib.errors import LivfError
from livf.lib.foramen import SENTENCES
from livf.lib.storage import make_folder

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What became of a run.

    Attributes:
        written: Rows of the cases made now.
        kept: Rows of the cases found whole from an earlier run.
        failed: Case, and why it could not be made.
        table: Path of the table of all cases in the folder.
    """

    written: tuple[Row, ...]
    kept: tuple[Row, ...]
    failed: tuple[tuple[str, str], ...]
    table: Path


def run_cohort(
    sources: Sequence[Source],
    folder: Path,
    settings: Settings,
    *,
    executor: Executor | None = None,
    check: bool = True,
    progress: bool | None = None,
) -> Report:
    """Make many cases and the table of all that lie in the folder. A case that fails does not stop the others.

    Args:
        sources: Images with different case names.
        folder: Gets one folder a case and the table; made if it is missing.
        settings: How they are made.
        executor: What runs the cases, such as :func:`processes`; None: this thread, one after the other, since the
            network uses all cores by itself.
        check: Load the network here first, so that a wrong device or damaged weights end the run at once, not every
            case. Not wanted where this process has not what the workers have.
        progress: Whether to show a bar; None: when standard error is a terminal.

    Raises:
        LivfError: The folder or the table cannot be written, or the network not loaded.
        KeyboardInterrupt: No case is half-made; run again to go on.
    """
    from tqdm import tqdm

    make_folder(folder)
    kept, todo = _sort(sources, folder, settings)
    if todo and check:
        segmenter_of(settings)
    written: list[Row] = []
    failed: list[tuple[str, str]] = []
    try:
        with (
            tqdm(
                total=len(sources), initial=len(kept), unit="case", disable=None if progress is None else not progress
            ) as bar,
            closing(_outcomes(todo, folder, settings, executor)) as outcomes,
        ):
            for source, outcome in outcomes:
                if isinstance(outcome, Row):
                    written.append(outcome)
                else:
                    failed.append((source.case, outcome))
                bar.update()
    finally:
        table = write_table(folder)
    order = {source.case: place for place, source in enumerate(sources)}
    return Report(
        written=tuple(sorted(written, key=lambda row: order[row.case])),
        kept=tuple(kept),
        failed=tuple(sorted(failed, key=lambda failure: order[failure[0]])),
        table=table,
    )


def summary(report: Report) -> tuple[str, ...]:
    """A run in a few lines: how many cases, how many foramina, and why the others have no number."""
    rows = (*report.written, *report.kept)
    refusals = Counter(reason for row in rows for reason in row.refusals)
    counts = (len(report.written), "made"), (len(report.kept), "kept"), (len(report.failed), "failed")
    lines = [f"cases    {', '.join(f'{count} {what}' for count, what in counts if count)}"]
    lines.append(f"foramina {2 * len(rows) - refusals.total()} measured, {refusals.total()} refused")
    lines += [f"refused  {count}: {SENTENCES.get(code, '')} ({code})" for code, count in refusals.most_common()]
    return tuple(lines)


@contextmanager
def processes(workers: int) -> Iterator[Executor]:
    """Worker processes that share the cores. On Ctrl-C cases under way are finished and the others dropped."""
    threads = max(1, (os.cpu_count() or 1) // workers)
    # spawn on every system: a forked child would inherit locks of threads it does not have.
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(threads,)
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker(threads: int) -> None:
    # Ctrl-C reaches the whole group; a worker ends its case, the parent drops the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read when torch is imported, which is later


def _sort(sources: Sequence[Source], folder: Path, settings: Settings) -> tuple[list[Row], list[Source]]:
    """Rows of the cases that are there whole, and the sources of the others."""
    kept, todo = [], []
    for source in sources:
        row = None
        if (folder / source.case).exists():
            with suppress(LivfError):  # told when the case is run
                row = finished(folder / source.case, record_of(source, settings))
        if row is not None:
            kept.append(row)
        else:
            todo.append(source)
    return kept, todo


def _outcomes(
    sources: Sequence[Source], folder: Path, settings: Settings, executor: Executor | None
) -> Generator[tuple[Source, Row | str]]:
    """Rows, or reasons of failures, in the order in which they come."""
    if executor is None:
        for source in sources:
            yield source, _outcome(source, partial(run_case, source, folder / source.case, settings))
        return
    futures = {executor.submit(run_case, source, folder / source.case, settings): source for source in sources}
    try:
        for future in as_completed(futures):
            yield futures[future], _outcome(futures[future], future.result)
    finally:
        # Cases under way end by themselves, and belong in the table.
        wait([future for future in futures if not future.cancel()])


def _outcome(source: Source, result: Callable[[], Row]) -> Row | str:
    try:
        return result()
    except LivfError as error:
        return error.line
    except BrokenExecutor:
        return "a worker process died, perhaps for want of memory; try fewer workers"
    except Exception as error:  # a bug in one case is no reason to lose the others
        _LOG.exception("%s failed", source.case)
        return f"{type(error).__name__}: {error}"
