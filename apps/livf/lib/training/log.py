"""The curves of a training: a line of JSON a step and a validation, and the same for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from livf.lib.storage import write_text

NAME: Final = "log.jsonl"


def read(run: Path) -> list[dict[str, Any]]:
    """The lines of a run, without one that a kill has cut."""
    path = run / NAME
    lines = []
    for text in path.read_text().splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


class Log:
    """Writes the curves of a run from a step on; what an interrupted run wrote beyond it is dropped.

    Args:
        run: The run's folder.
        step: Steps that are done.
        names: Of the structures that are scored.
        tensorboard: Whether TensorBoard gets them too.
    """

    def __init__(self, run: Path, step: int, names: Sequence[str], *, tensorboard: bool) -> None:
        self._names = [f"dice/{name}" for name in names]
        kept = [line for line in read(run) if line["step"] <= step]
        write_text(run / NAME, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = (run / NAME).open("a", encoding="utf-8")
        self._board: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def step(self, step: int, line: Mapping[str, Any]) -> None:
        """One step's loss and rate."""
        self._write({"step": step, **line})
        self._scalars(step, {name: line[name] for name in ("loss", "rate")})

    def validation(self, step: int, line: Mapping[str, Any]) -> None:
        """One validation: mean training loss since the last one; mean Dice of each structure, and the worst of all."""
        self._write({"step": step, **line})
        if "validation" not in line:
            return
        self._scalars(step, dict(zip(self._names, line["validation"], strict=True)) | {"dice/worst": line["worst"]})

    def close(self) -> None:
        """Flush and close."""
        self._file.close()
        if self._board is not None:
            self._board.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
