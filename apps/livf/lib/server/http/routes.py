"""Every request this server answers, and who may make it: one table. What is not here is not answered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from livf.lib.access.permissions import Action
from livf.lib.server.http import names
from livf.lib.server.http.names import Kind

#: Largest body of a request with an image or a label, and of any other, bytes.
UPLOAD_BYTES: Final = 2 << 30
FORM_BYTES: Final = 1 << 17

_IMAGE: Final[Mapping[str, Kind]] = {"image": names.image_id}
_OPTIONAL_IMAGE: Final[Mapping[str, Kind]] = {"image": names.optional(names.image_id)}
_LABEL: Final[Mapping[str, Kind]] = {"label": names.image_id, "tag": names.word}
_STATUS: Final[Mapping[str, Kind]] = {"all": names.flag, "check_if_running": names.flag}
_PARTS: Final[Mapping[str, Kind]] = {
    "model": names.word,
    "strategy": names.word,
    "method": names.word,
    "session_id": names.session_id,
}

#: Parameters that stock clients send and that mean nothing here: taken out, not refused.
IGNORED: Final = frozenset({"client_id", "run_sync", "enqueue", "html", "text", "refresh", "update_ts"})


@dataclass(frozen=True)
class Route:
    """One kind of request.

    Attributes:
        method: HTTP method.
        path: Its path, with names in braces.
        action: What it does, which says who may; None for everybody, also unknown.
        query: Its parameters and what each may be.
        body: Largest body, bytes.
    """

    method: str
    path: str
    action: Action | None
    query: Mapping[str, Kind] = field(default_factory=dict)
    body: int = 0

    @property
    def audited(self) -> bool:
        """Whether it changes or makes something, so that it is in the audit log."""
        return self.action not in (None, Action.READ)


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/", None),
    Route("GET", "/auth/", None),
    Route("POST", "/auth/token", None, body=FORM_BYTES),
    Route("GET", "/auth/token/valid", Action.READ),
    Route("POST", "/livf/session", None, body=FORM_BYTES),
    Route("GET", "/livf/session", Action.READ),
    Route("DELETE", "/livf/session", Action.READ),
    Route("GET", "/info/", Action.READ),
    Route("GET", "/datastore/", Action.READ, {"output": names.optional(names.word)}),
    Route("PUT", "/datastore/", Action.SAVE, _OPTIONAL_IMAGE, UPLOAD_BYTES),
    Route("DELETE", "/datastore/", Action.ADMINISTRATE, {"id": names.image_id}),
    Route("GET", "/datastore/image", Action.READ, _IMAGE),
    Route("HEAD", "/datastore/image", Action.READ, {**_IMAGE, "check_sum": names.checksum}),
    Route("PUT", "/datastore/image", Action.SAVE, _OPTIONAL_IMAGE, UPLOAD_BYTES),
    Route("DELETE", "/datastore/image", Action.ADMINISTRATE, {"id": names.image_id}),
    Route("GET", "/datastore/image/info", Action.READ, _IMAGE),
    Route("PUT", "/datastore/image/info", Action.SAVE, _IMAGE, FORM_BYTES),
    Route("GET", "/datastore/label", Action.READ, _LABEL),
    Route("HEAD", "/datastore/label", Action.READ, {"image": names.image_id, "tag": names.word}),
    Route("PUT", "/datastore/label", Action.SAVE, {**_IMAGE, "tag": names.optional(names.word)}, UPLOAD_BYTES),
    Route("DELETE", "/datastore/label", Action.ADMINISTRATE, {"id": names.image_id, "tag": names.word}),
    Route("GET", "/datastore/label/info", Action.READ, _LABEL),
    Route("PUT", "/datastore/label/info", Action.SAVE, _LABEL, FORM_BYTES),
    Route("PUT", "/datastore/updatelabelinfo", Action.SAVE, _LABEL, FORM_BYTES),
    Route("GET", "/datastore/dataset", Action.TRAIN, {"limit_cases": names.number}),
    Route(
        "POST",
        "/infer/{model}",
        Action.INFER,
        {**_OPTIONAL_IMAGE, "session_id": names.optional(names.session_id), "output": names.optional(names.word)},
        UPLOAD_BYTES,
    ),
    Route("POST", "/activelearning/{strategy}", Action.INFER, body=FORM_BYTES),
    Route("PUT", "/session/", Action.INFER, {"uncompress": names.flag, "expiry": names.number}, UPLOAD_BYTES),
    Route("GET", "/session/{session_id}", Action.INFER, {"image": names.flag}),
    Route("DELETE", "/session/{session_id}", Action.INFER),
    Route("GET", "/batch/infer", Action.READ, _STATUS),
    Route("POST", "/batch/infer/{model}", Action.ADMINISTRATE, {"images": names.word}, FORM_BYTES),
    Route("DELETE", "/batch/infer", Action.ADMINISTRATE),
    Route("GET", "/scoring/", Action.READ, _STATUS),
    Route("POST", "/scoring/", Action.TRAIN, body=FORM_BYTES),
    Route("POST", "/scoring/{method}", Action.TRAIN, body=FORM_BYTES),
    Route("DELETE", "/scoring/", Action.TRAIN),
    Route("GET", "/train/", Action.READ, _STATUS),
    Route("POST", "/train/", Action.TRAIN, body=FORM_BYTES),
    Route("POST", "/train/{model}", Action.TRAIN, body=FORM_BYTES),
    Route("DELETE", "/train/", Action.TRAIN),
    Route("GET", "/logs/", Action.ADMINISTRATE, {"lines": names.number}),
    Route("GET", "/logs/gpu", Action.ADMINISTRATE),
)

#: Requests of MONAI Label's own server that are closed here, by how their path begins, and why.
CLOSED: Final[Sequence[tuple[str, str]]] = (
    ("/infer/wsi", "there are no whole-slide images here"),
    ("/proxy/", "there is no DICOMweb store behind this server"),
    ("/model/", "models are not exchanged over the web; see livf models"),
    ("/reload", "a server is restarted by its operator"),
    ("/ohif", "this server has no viewer"),
    ("/static", "this server has no viewer"),
    ("/openapi.json", "the requests are listed in the documentation"),
    ("/docs", "the requests are listed in the documentation"),
)


@dataclass(frozen=True)
class Match:
    """A request's route.

    Attributes:
        route: Which.
        parts: The names in its path.
    """

    route: Route
    parts: Mapping[str, str]


def find(method: str, path: str) -> Match | None:
    """The route of a request; None where the table has none.

    Raises:
        UsageError: A name in the path cannot be one.
    """
    for route, pattern in _PATTERNS:
        if route.method == method and (match := pattern.fullmatch(path)):
            return Match(route, {key: _PARTS[key](value, key) for key, value in match.groupdict().items()})
    return None


def methods_of(path: str) -> list[str]:
    """The methods that a path answers."""
    return [route.method for route, pattern in _PATTERNS if pattern.fullmatch(path)]


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path)))


#: Paths without names first: ``/batch/infer`` is no ``{method}``.
_PATTERNS: Final = sorted(((route, _pattern(route.path)) for route in ROUTES), key=lambda entry: "{" in entry[0].path)
