"""Work that runs beside the server: on all images, training, scoring; and what the server says of itself."""

from __future__ import annotations

import shutil
import subprocess
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import psutil
from fastapi import Body
from monailabel.endpoints import batch_infer, scoring, train
from monailabel.interfaces.tasks.batch_infer import BatchInferImageType
from monailabel.interfaces.utils.app import app_instance
from starlette.responses import PlainTextResponse

from livf.lib.errors import LivfError, NotFoundError, UsageError
from livf.lib.server.http.exchange import note
from livf.lib.server.http.params import BatchParams, Params, TrainParams, parsed
from livf.lib.server.http.site import Site

_Body = Annotated[dict[str, Any] | None, Body()]
_LINES = 300
_MOST_LINES = 10_000
_SMI_SECONDS = 20


def endpoints(site: Site) -> dict[tuple[str, str], Callable[..., Any]]:
    """Endpoints by method and path."""

    def run_batch(model: str, images: str = "all", params: _Body = None) -> Any:
        """Run an infer task on many images."""
        _one_of(model, app_instance().info()["models"], "model")
        kinds = [kind.value for kind in BatchInferImageType]
        _one_of(images, kinds, "images")
        given = parsed(BatchParams, params)
        note(tag=site.tag(given.label_tag or "original"))
        return batch_infer.run(model, BatchInferImageType(images), given.model_dump(exclude={"client_id"}), False)

    def run_training(model: str, params: _Body = None) -> Any:
        """Train one model."""
        _one_of(model, app_instance().info()["trainers"], "model")
        given = parsed(TrainParams, params)
        return train.run_model(model, given.model_dump(exclude={"client_id"}, exclude_none=True), False, False)

    def run_trainings(params: _Body = None) -> Any:
        """Train every model."""
        parsed(Params, params, config=params or ())
        return train.run(None, False)

    def run_scoring(method: str, params: _Body = None) -> Any:
        """Score by one method."""
        _one_of(method, app_instance().info()["scoring"], "method")
        parsed(Params, params, config=params or ())
        return scoring.run_method(method, None, False)

    def run_scorings(params: _Body = None) -> Any:
        """Score by every method."""
        parsed(Params, params, config=params or ())
        return scoring.run(None, False)

    def log(lines: int = _LINES) -> PlainTextResponse:
        """The end of the server's log, without paths and tracebacks: those are in the file itself."""
        path = site.state / "app" / "logs" / "app.log"
        if not path.is_file():
            raise NotFoundError("this server keeps no log here", "", "see its terminal")
        with path.open(encoding="utf-8", errors="replace") as file:
            last = deque(file, max(1, min(lines or _LINES, _MOST_LINES)))
        return PlainTextResponse("\n".join(site.scrubber.lines(line.rstrip("\n") for line in last)) + "\n")

    def gpu() -> PlainTextResponse:
        """What ``nvidia-smi`` says."""
        program = shutil.which("nvidia-smi")
        if program is None:
            raise NotFoundError("this machine has no nvidia-smi")
        try:
            said = subprocess.run([program], capture_output=True, text=True, timeout=_SMI_SECONDS, check=False).stdout
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LivfError("does not answer", "nvidia-smi", "look at the machine") from error
        return PlainTextResponse(site.scrubber.text(said))

    return {
        ("GET", "/batch/infer"): _status(batch_infer),
        ("POST", "/batch/infer/{model}"): run_batch,
        ("DELETE", "/batch/infer"): _stop(batch_infer),
        ("GET", "/train/"): _status(train),
        ("POST", "/train/"): run_trainings,
        ("POST", "/train/{model}"): run_training,
        ("DELETE", "/train/"): _stop(train),
        ("GET", "/scoring/"): _status(scoring),
        ("POST", "/scoring/"): run_scorings,
        ("POST", "/scoring/{method}"): run_scoring,
        ("DELETE", "/scoring/"): _stop(scoring),
        ("GET", "/logs/"): log,
        ("GET", "/logs/gpu"): gpu,
    }


def _status(kind: Any) -> Callable[..., Any]:
    def status(all: bool = False, check_if_running: bool = False) -> Any:  # noqa: A002  # the protocol's name
        """What a kind of work is doing."""
        said = kind.status(all, check_if_running)
        return [_settled(task) for task in said] if isinstance(said, list) else _settled(said)

    return status


def _settled(task: dict[str, Any]) -> dict[str, Any]:
    """A task's state as it is now: another thread adds to its lines."""
    now = dict(task)
    return {**now, "details": list(now["details"])} if "details" in now else now


def _stop(kind: Any) -> Callable[..., Any]:
    def stop() -> Any:
        """Stop a kind of work."""
        with suppress(psutil.NoSuchProcess):  # it ended by itself just now
            stopped = kind.stop()
            return _settled(stopped) if stopped else None
        return None

    return stop


def _one_of(name: str, known: Any, what: str) -> None:
    if name not in known:
        error = UsageError if what == "images" else NotFoundError
        raise error(f"there is no such {what}", name, f"there are {', '.join(known) or 'none'}")
