"""Many pairs scored, here or in other processes, and their scores as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from typing import Final

from livf.lib.anatomy import TRAINED
from livf.lib.evaluation.cases import REGIONS, Failure, Foramen, Metric, Pair, Reading, Scored, attempt
from livf.lib.evaluation.summary import MEASURES

_METRICS: Final[tuple[Metric, ...]] = ("dsc", "precision", "recall", "hd95_mm", "assd_mm")
_PAIR: Final = ("case", "patient", "group", "fold", "part")


def score_all(
    pairs: Sequence[Pair], reading: Reading, executor: Executor | None, progress: Callable[[int, int], None] | None
) -> tuple[list[Scored], list[Failure]]:
    """Score pairs. One that fails does not stop the others.

    Args:
        pairs: What to score.
        reading: How.
        executor: What does it; None: this thread.
        progress: Called with how many are done, and of how many.

    Returns:
        What was scored and what failed, each in the order of the pairs.
    """
    found: dict[int, Scored | Failure] = {}
    for index, outcome in _outcomes(pairs, reading, executor):
        found[index] = outcome
        if progress:
            progress(len(found), len(pairs))
    ordered = [found[index] for index in range(len(pairs))]
    return [one for one in ordered if isinstance(one, Scored)], [one for one in ordered if isinstance(one, Failure)]


def _outcomes(
    pairs: Sequence[Pair], reading: Reading, executor: Executor | None
) -> Iterator[tuple[int, Scored | Failure]]:
    if executor is None:
        for index, pair in enumerate(pairs):
            yield index, attempt(pair, reading)
        return
    futures: dict[Future[Scored | Failure], int] = {
        executor.submit(attempt, pair, reading): index for index, pair in enumerate(pairs)
    }
    try:
        for future in as_completed(futures):
            index = futures[future]
            try:
                yield index, future.result()
            except BrokenExecutor:
                reason = "a worker process died, perhaps for want of memory; try fewer workers"
                yield index, Failure(pairs[index], reason)
    finally:
        for future in futures:
            future.cancel()


def scores_csv(scored: Sequence[Scored]) -> str:
    """One row a label: every score of every structure and mean; empty: not defined."""
    regions = (*(structure.name for structure in TRAINED), *REGIONS)
    head = [*_PAIR, *(f"{region}_{metric}" for region in regions for metric in _METRICS)]
    head += [f"{structure.name}_presence" for structure in TRAINED]
    rows = []
    for case in scored:
        cells = [_cell(case.score(metric, region)) for region in regions for metric in _METRICS]
        presences = [case.structures[structure.name].presence for structure in TRAINED]
        rows.append([*_of_pair(case.pair), *cells, *presences])
    return _csv(head, rows)


def foramina_csv(scored: Sequence[Scored]) -> str:
    """One row a side: the numbers of prediction and truth, and why there are none."""
    head = [*_PAIR, "side"]
    for who in ("prediction", "truth"):
        head += [*(f"{who}_{measure.key}" for measure in MEASURES), f"{who}_reasons"]
    rows = [
        [*_of_pair(case.pair), foramen.side, *_of_foramen(foramen.prediction), *_of_foramen(foramen.truth)]
        for case in scored
        for foramen in case.foramina
    ]
    return _csv(head, rows)


def _of_pair(pair: Pair) -> list[str]:
    return [pair.case, pair.subject, pair.group, "" if pair.fold is None else str(pair.fold), pair.part]


def _of_foramen(foramen: Foramen) -> list[str]:
    values = [foramen.values.get(measure.key) for measure in MEASURES]
    return [*("" if value is None else f"{value:.4f}" for value in values), ";".join(foramen.reasons)]


def _cell(value: float) -> str:
    return "" if value != value else f"{value:.6f}"


def _csv(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(head)
    table.writerows(rows)
    return text.getvalue()
