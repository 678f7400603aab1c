"""What answers the requests of the table, by MONAI Label's protocol.

MONAI Label's own endpoints run on the event loop, so that one inference holds up every other request; they leave
received files behind when a request fails, take ``params`` as they come (also an image's path in them), and answer
malformed JSON with 500. These run in threads, remove what they received, and check what they are given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from livf.lib.server.http.answers import HANDLERS
from livf.lib.server.http.endpoints import images, jobs, labels, people, uploads, work
from livf.lib.server.http.site import Site


def build(site: Site) -> FastAPI:
    """The app that answers; the gateway lets only requests of the table through to it."""
    app = FastAPI(openapi_url=None, exception_handlers=dict(HANDLERS), redirect_slashes=False)
    endpoints: dict[tuple[str, str], Callable[..., Any]] = {}
    for room in (people, images, labels, uploads, work, jobs):
        endpoints |= room.endpoints(site)
    for (method, path), endpoint in endpoints.items():
        app.add_api_route(path, endpoint, methods=[method], response_model=None)
    return app
