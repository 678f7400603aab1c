"""The requests livf answers in MONAI Label's place, by the same protocol.

The stock endpoints run on the event loop, so that one inference holds up every other request; they leave received
files behind when a request fails, take ``params`` as they come (also an image's path in them), and answer malformed
JSON with 500. These run in threads, remove what they received, and check what they are given.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Final

from fastapi import BackgroundTasks, Depends, FastAPI, File, Form, UploadFile
from monailabel.config import settings
from monailabel.endpoints.infer import ResultType, send_response
from monailabel.endpoints.user.auth import RBAC
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.utils.app import app_instance
from pydantic import Json
from starlette.middleware import Middleware

from livf.lib.errors import InputError, NotFoundError, OutputError, UsageError
from livf.lib.images import IMAGE_SUFFIXES, read_image, suffix_of
from livf.lib.server.http.answers import HANDLERS
from livf.lib.server.naming import at

Params = Annotated[Json[dict[str, Any]], Form()]
_USER: Final = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))
_ANNOTATOR: Final = Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR))
#: Keys of an infer request that only the server sets; in ``params`` they would name files of the server.
_RESERVED: Final = frozenset({"model", "image", "image_name", "label", "file", "session"})
_METHODS: Final = ("GET", "POST", "PUT", "DELETE")


def replaced(middleware: list[Middleware]) -> FastAPI:
    """The endpoints as an app of their own.

    Args:
        middleware: What the stock app's answers pass through too (CORS).
    """
    app = FastAPI(openapi_url=None, middleware=middleware, exception_handlers=dict(HANDLERS))
    prefix = settings.MONAI_LABEL_API_STR
    for path, what in _absent().items():
        app.add_api_route(prefix + path, _refusing(what), methods=list(_METHODS), dependencies=[_USER])
    app.add_api_route(prefix + "/session/", _create_session, methods=["PUT"], dependencies=[_USER])
    app.add_api_route(prefix + "/infer/{model}", _infer, methods=["POST"], dependencies=[_USER])
    for path in ("/datastore/", "/datastore/image"):
        app.add_api_route(prefix + path, _add_image, methods=["PUT"], dependencies=[_ANNOTATOR])
    app.add_api_route(prefix + "/datastore/image/info", _image_info, methods=["PUT"], dependencies=[_ANNOTATOR])
    app.add_api_route(prefix + "/datastore/label", _save_label, methods=["PUT"], dependencies=[_ANNOTATOR])
    app.add_api_route(prefix + "/datastore/label/info", _label_info, methods=["PUT"], dependencies=[_ANNOTATOR])
    app.add_api_route(prefix + "/datastore/updatelabelinfo", _label_params, methods=["PUT"], dependencies=[_ANNOTATOR])
    return app


def _infer(
    background: BackgroundTasks,
    model: str,
    image: str = "",
    session_id: str = "",
    params: Params = {},  # noqa: B006  # FastAPI copies it
    file: Annotated[UploadFile | None, File()] = None,
    output: ResultType | None = None,
) -> Any:
    """Run an infer task on an image of the datastore, a received file or a session's image."""
    if output is ResultType.dicom_seg:
        raise UsageError("DICOM SEG needs a DICOMweb store", "output", "ask for image, json or all")
    app: MONAILabelApp = app_instance()
    request = {key: value for key, value in params.items() if key not in _RESERVED} | {"model": model}
    with ExitStack() as received:
        if file is not None:
            request["image"] = received.enter_context(_received(file))
        elif session_id:
            request["image"] = _session_image(app, session_id)
        elif image:
            request["image"] = image
        else:
            raise UsageError("names no image", "the request", "give image=ID, session_id=ID or a file")
        result = app.infer(request)
    return send_response(app.datastore(), result, output, background)


def _save_label(
    image: str,
    label: Annotated[UploadFile, File()],
    params: Params = {},  # noqa: B006
    tag: str = "",
) -> dict[str, Any]:
    """Store a label that an annotator submits."""
    app: MONAILabelApp = app_instance()
    with _received(label) as path:
        label_id = app.datastore().save_label(image, str(path), tag or DefaultLabelTag.FINAL.value, params)
    return {**(app.on_save_label(image, label_id) or {}), "image": image, "label": label_id}


def _add_image(
    file: Annotated[UploadFile, File()],
    image: str | None = None,
    params: Params = {},  # noqa: B006
) -> dict[str, Any]:
    """Add an image to the datastore."""
    app: MONAILabelApp = app_instance()
    with _received(file) as path:
        return {"image": app.datastore().add_image(image, str(path), params)}


def _image_info(image: str, info: Params = {}) -> None:  # noqa: B006
    """Add to what is known about an image."""
    app_instance().datastore().update_image_info(image, info)


def _label_info(label: str, tag: str, info: Params = {}) -> None:  # noqa: B006
    """Add to what is known about a label."""
    app_instance().datastore().update_label_info(label, tag, info)


def _label_params(label: str, tag: str, params: Params = {}) -> None:  # noqa: B006
    """The older form of the same."""
    app_instance().datastore().update_label_info(label, tag, params)


def _create_session(
    files: Annotated[list[UploadFile], File()], uncompress: bool = False, expiry: int = 0
) -> dict[str, Any]:
    """Keep an image for a while without adding it to the datastore: one file, or the files of a DICOM series."""
    if uncompress:
        raise UsageError("archives are not unpacked", "uncompress", "send the files of the image themselves")
    sessions = app_instance().sessions()
    if sessions is None:
        raise NotFoundError("sessions are turned off on this server", "", "add the image to the datastore")
    with tempfile.TemporaryDirectory(prefix="livf-received-") as folder:
        if len(files) == 1:
            name = _image_name(files[0])
        else:
            name = "series"
            (Path(folder) / name).mkdir()
        image = Path(folder) / name
        for upload in files:
            _write(upload, image if len(files) == 1 else image / (_plain(upload.filename or "") or "file"))
        with at(name):
            read_image(image)
        session_id, session = sessions.add_session(str(image), expiry)
    return {"session_id": session_id, "session_info": session.to_json()}


def _absent() -> dict[str, str]:
    """Stock requests that mean nothing on this server, where MONAI Label would answer 500."""
    absent = {
        "/infer/wsi/{model}": "there are no whole-slide images here",
        "/infer/wsi_v2/{model}": "there are no whole-slide images here",
        "/proxy/dicom/{path:path}": "there is no DICOMweb store behind this server",
    }
    if shutil.which("nvidia-smi") is None:
        absent["/logs/gpu"] = "this machine has no nvidia-smi"
    return absent


def _refusing(what: str) -> Callable[[], None]:
    def refuse() -> None:
        raise NotFoundError(what)

    return refuse


def _session_image(app: MONAILabelApp, session_id: str) -> Path:
    sessions = app.sessions()
    session = sessions.get_session(session_id) if sessions is not None and _plain(session_id) == session_id else None
    if not session:
        raise NotFoundError("there is no such session", session_id, "create one with PUT /session/")
    return Path(session.image)


@contextmanager
def _received(upload: UploadFile) -> Iterator[Path]:
    """A received file under its own name in a folder of its own, until the block ends."""
    name = _image_name(upload)
    with tempfile.TemporaryDirectory(prefix="livf-received-") as folder:
        path = Path(folder) / name
        _write(upload, path)
        yield path


def _write(upload: UploadFile, path: Path) -> None:
    try:
        with path.open("wb") as target:
            shutil.copyfileobj(upload.file, target)
    except OSError as error:
        raise OutputError.from_os_error(error, path.name) from error


def _image_name(upload: UploadFile) -> str:
    name = _plain(upload.filename or "")
    if suffix_of(name) not in IMAGE_SUFFIXES:
        raise InputError("is not an image livf reads", name or "the file", f"send one of {', '.join(IMAGE_SUFFIXES)}")
    return name


def _plain(name: str) -> str:
    """The last component of a file name that any client system wrote, without control characters."""
    last = PureWindowsPath(PurePosixPath(name).name).name
    return "".join(character for character in last if character.isprintable())
