"""What an error looks like to a client: its status, and one line under ``detail``.

Only errors that a user can act on are answered here. Any other exception is a bug: the web framework answers it
without its text and writes the traceback to the log.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from monailabel.interfaces.exception import MONAILabelException
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from livf.lib.errors import LivfError

logger = logging.getLogger(__name__)


def answer(status: int, line: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """One line as MONAI Label's clients expect an error."""
    return JSONResponse({"detail": line}, status_code=int(status), headers=headers)


async def _livf(request: Request, error: Exception) -> Response:
    assert isinstance(error, LivfError)
    logger.info("%s %s: %s", request.method, request.url.path, error.line)
    return answer(error.http_status, error.line)


async def _monailabel(request: Request, error: Exception) -> Response:
    # MONAI Label raises it for a model, method, image or label that it does not have, and answers 500.
    assert isinstance(error, MONAILabelException)
    logger.info("%s %s: %s", request.method, request.url.path, error.msg)
    return answer(HTTPStatus.NOT_FOUND, str(error.msg).split(";")[0])


async def _http(request: Request, error: Exception) -> Response:
    # MONAI Label answers 500 on purpose only to requests that it refuses.
    assert isinstance(error, HTTPException)
    refused = error.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    return answer(HTTPStatus.BAD_REQUEST if refused else error.status_code, str(error.detail), error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [f"{'.'.join(str(part) for part in fault['loc'][1:])}: {fault['msg']}" for fault in error.errors()]
    return answer(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(faults))


#: Handlers by exception, for a FastAPI app.
HANDLERS: Final[Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]]] = {
    LivfError: _livf,
    MONAILabelException: _monailabel,
    HTTPException: _http,
    RequestValidationError: _invalid,
}
