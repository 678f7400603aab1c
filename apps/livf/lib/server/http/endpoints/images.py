"""The datastore's images."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import BackgroundTasks, File, Form, UploadFile
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import file_checksum, get_mime_type
from starlette.responses import FileResponse, Response

from livf.lib.errors import LivfError, NotFoundError, UsageError
from livf.lib.server.http.exchange import named, note
from livf.lib.server.http.params import SaveParams, info_of, parsed
from livf.lib.server.http.received import received
from livf.lib.server.http.site import Site

_Text = Annotated[str, Form()]


def endpoints(site: Site) -> dict[tuple[str, str], Callable[..., Any]]:
    """Endpoints by method and path."""

    def about() -> Any:
        """What the server is and can do."""
        return app_instance().info()

    def listing(output: str = "") -> Any:
        """All images and labels, those to train on, or their numbers."""
        store = app_instance().datastore()
        if output == "all":
            return store.json()
        if output == "train":
            return store.datalist()
        if output in ("", "stats"):
            return store.status()
        raise UsageError("there is no such listing", "output", "ask for all, train or stats")

    def add(file: Annotated[UploadFile, File()], image: str = "", params: _Text = "{}") -> dict[str, Any]:
        """Add an image to the datastore."""
        app: MONAILabelApp = app_instance()
        given = parsed(SaveParams, params)
        with received(file) as path, named(given.client_id):
            added = app.datastore().add_image(image or None, str(path), given.model_dump(include={"client_id"}))
        note(case=added)
        return {"image": added}

    def remove(id: str) -> dict[str, Any]:  # noqa: A002  # the protocol's name
        """Remove an image and its labels."""
        app_instance().datastore().remove_image(id)
        return {}

    def download(image: str) -> FileResponse:
        """An image's file."""
        path = site.image(app_instance().datastore(), image)
        return FileResponse(path, media_type=get_mime_type(str(path)), filename=path.name)

    def check(image: str, check_sum: str = "") -> Response:
        """Whether there is an image, and whether it has a hash."""
        path = site.image(app_instance().datastore(), image)
        algorithm, _, digest = check_sum.rpartition(":")
        if digest and digest.lower() != file_checksum(str(path), algo=algorithm or "SHA256").lower():
            raise NotFoundError("has another checksum", image, "download it again")
        return Response(status_code=HTTPStatus.OK, media_type="application/json")

    def info(image: str) -> Any:
        """What is known about an image."""
        return app_instance().datastore().get_image_info(image)

    def update_info(image: str, info: _Text = "{}") -> None:
        """Add to what is known about an image."""
        app_instance().datastore().update_image_info(image, info_of(info))

    def dataset(background: BackgroundTasks, limit_cases: int = 0) -> FileResponse:
        """All images that have a final label, with it, as a ZIP archive."""
        path = Path(app_instance().datastore().get_dataset_archive(limit_cases or None))
        if not path.is_file():
            raise LivfError("could not be made", "the archive", "the server's log says why")
        background.add_task(path.unlink, missing_ok=True)
        return FileResponse(path, media_type="application/zip", filename="dataset.zip")

    return {
        ("GET", "/info/"): about,
        ("GET", "/datastore/"): listing,
        ("PUT", "/datastore/"): add,
        ("DELETE", "/datastore/"): remove,
        ("GET", "/datastore/image"): download,
        ("HEAD", "/datastore/image"): check,
        ("PUT", "/datastore/image"): add,
        ("DELETE", "/datastore/image"): remove,
        ("GET", "/datastore/image/info"): info,
        ("PUT", "/datastore/image/info"): update_info,
        ("GET", "/datastore/dataset"): dataset,
    }
