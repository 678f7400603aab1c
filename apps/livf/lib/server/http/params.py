"""What a client may ask for in ``params``: typed, with bounds.

Stock clients send back every key of a task's ``config`` and add some of their own. Those that mean nothing here are
known and dropped; any other is refused by its name, since elsewhere such keys name files, modules and devices.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from livf.lib.errors import UsageError
from livf.lib.server.http import names
from livf.lib.server.tasks.segmentation import point_of, result_suffix

#: Longest text of ``params``, characters, and deepest nesting.
MAX_TEXT: Final = 1 << 16
MAX_DEPTH: Final = 8
MAX_SEGMENTS: Final = 64

#: Keys that 3D Slicer's and OHIF's modules send, or send back, and that mean nothing here.
ECHOED: Final = frozenset(
    {
        "background", "client_id", "device", "foreground", "gpus", "highres", "image", "label", "label_info",
        "largest_cc", "logging", "max_batch_size", "max_workers", "model", "model_filename", "multi_gpu",
        "reset_state", "restore_label_idx", "result_compress", "result_dtype", "roi", "selected_label_name",
        "session", "slice", "spatial_size", "strategy", "use_pretrained_model",
    }
)  # fmt: skip
#: What a client cannot say about an image or a label: the server knows it.
_OWN_INFO: Final = frozenset(
    {"path", "name", "ts", "checksum", "params", "model", "label_info", "ext", "user", "author", "verified", "versions",
     "version", "state", "sha256", "label_sha256", "strategy"}
)  # fmt: skip
_SEGMENT_KEYS: Final = ("name", "idx", "id", "color")

Tag = Annotated[str, BeforeValidator(lambda value: names.optional(names.word)(str(value), "label_tag"))]
ClientId = Annotated[str | None, BeforeValidator(lambda value: value[:64] if isinstance(value, str) else None)]


class Params(BaseModel):
    """What every request may say."""

    model_config = ConfigDict(extra="forbid", strict=False, allow_inf_nan=False)

    client_id: ClientId = None


class InferParams(Params):
    """Of an infer request."""

    level_at: Annotated[tuple[float, float, float] | None, BeforeValidator(point_of)] = None
    result: Annotated[str, Field(max_length=32)] | None = None
    result_extension: Annotated[str, BeforeValidator(result_suffix)] = ".nii.gz"
    save_label: bool = False
    label_tag: Tag = ""


class SaveParams(Params):
    """Of a submitted label or image."""

    label_info: Any = None
    parent: Annotated[int, Field(ge=1, le=10**9)] | None = None


class BatchParams(Params):
    """Of inference on many images."""

    label_tag: Tag = "original"
    save_label: bool = True
    max_batch_size: Annotated[int, Field(ge=0, le=100_000)] = 0


class TrainParams(Params):
    """Of a training: the settings that the reference trainers take."""

    name: Annotated[str, BeforeValidator(lambda value: names.word(str(value), "name"))] | None = None
    pretrained: bool | None = None
    max_epochs: Annotated[int, Field(ge=1, le=10_000)] | None = None
    early_stop_patience: Annotated[int, Field(ge=-1, le=10_000)] | None = None
    train_batch_size: Annotated[int, Field(ge=1, le=64)] | None = None
    val_batch_size: Annotated[int, Field(ge=1, le=64)] | None = None
    val_split: Annotated[float, Field(ge=0, le=0.9)] | None = None


Kind = TypeVar("Kind", bound=Params)


def parsed(kind: type[Kind], given: str | Mapping[str, Any] | None, config: Iterable[str] = ()) -> Kind:
    """Parse ``params``.

    Args:
        kind: What they are for.
        given: JSON text, or an object that was parsed already.
        config: Keys of the task's own configuration: echoed too, and taken where ``kind`` has them.

    Raises:
        UsageError: It is no object, too large, has a key that is not known or a value out of bounds.
    """
    content = given if isinstance(given, Mapping) else json_object(given or "{}", "params")
    known = set(kind.model_fields)
    dropped = (ECHOED | set(config)) - known
    try:
        return kind.model_validate({key: value for key, value in content.items() if key not in dropped})
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        key = ".".join(str(part) for part in fault["loc"])[:64] or "params"
        if fault["type"] == "extra_forbidden":
            raise UsageError("is not a parameter", key, f"the parameters are {', '.join(sorted(known))}") from error
        raise UsageError(fault["msg"][:200], key, "see the documentation of params") from error


def info_of(given: str | None) -> dict[str, Any]:
    """What a client adds to what is known about an image or a label.

    Raises:
        UsageError: It is no object, too large, or has a key that only the server sets.
    """
    content = json_object(given or "{}", "info")
    for key in content:
        names.word(key, f"info.{key[:32]!r}")
        if key in _OWN_INFO:
            raise UsageError("is set by the server alone", f"info.{key}", "leave it out")
    return content


def segments_of(label_info: Any) -> Any:
    """``label_info`` without what nobody reads; what is no list is left for its reader to refuse.

    Raises:
        UsageError: There are too many segments.
    """
    if not isinstance(label_info, list):
        return label_info
    if len(label_info) > MAX_SEGMENTS:
        raise UsageError(f"has more than {MAX_SEGMENTS} segments", "label_info", "remove those that are not used")
    return [
        {key: segment[key] for key in _SEGMENT_KEYS if key in segment} if isinstance(segment, dict) else segment
        for segment in label_info
    ]


def json_object(text: str, what: str) -> dict[str, Any]:
    """Parse a JSON object from a client.

    Raises:
        UsageError: It is none, too large, too deep, or has numbers that are none.
    """
    if len(text) > MAX_TEXT:
        raise UsageError(f"is longer than {MAX_TEXT} characters", what, "send less")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError("is not JSON", what, 'send an object, such as {"level_at": [0, 0, 0]}') from None
    if not isinstance(content, dict):
        raise UsageError("is not a JSON object", what, 'send an object, such as {"level_at": [0, 0, 0]}')
    if _depth(content) > MAX_DEPTH:
        raise UsageError(f"is nested deeper than {MAX_DEPTH}", what, "send less")
    return content


def _depth(value: Any) -> int:
    deepest = 0
    waiting = [(value, 1)]
    while waiting:
        entry, depth = waiting.pop()
        deepest = max(deepest, depth)
        if isinstance(entry, dict | list):
            waiting += [(part, depth + 1) for part in (entry.values() if isinstance(entry, dict) else entry)]
    return deepest
