"""The datastore's labels."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import File, Form, UploadFile
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import get_mime_type
from starlette.responses import FileResponse, Response

from livf.lib.errors import LivfError
from livf.lib.export.document import label_hash
from livf.lib.images import read_label
from livf.lib.server.http.exchange import named, note
from livf.lib.server.http.params import SaveParams, info_of, parsed, segments_of
from livf.lib.server.http.received import received
from livf.lib.server.http.site import Site

logger = logging.getLogger(__name__)

_Text = Annotated[str, Form()]


def endpoints(site: Site) -> dict[tuple[str, str], Callable[..., Any]]:
    """Endpoints by method and path."""

    def save(
        label: Annotated[UploadFile, File()], image: str = "", params: _Text = "{}", tag: str = ""
    ) -> dict[str, Any]:
        """Store a label that an annotator submits."""
        app: MONAILabelApp = app_instance()
        store = app.datastore()
        tag = site.tag(tag or DefaultLabelTag.FINAL.value)
        given = parsed(SaveParams, params)
        about = {
            key: value
            for key, value in {**given.model_dump(), "label_info": segments_of(given.label_info)}.items()
            if value is not None
        }
        note(tag=tag)
        with received(label) as path, named(given.client_id):
            label_id = store.save_label(image, str(path), tag, about)
            note(label_sha256=stored_hash(store, label_id, tag))
        return {**(app.on_save_label(image, label_id) or {}), "image": image, "label": label_id}

    def remove(id: str, tag: str) -> dict[str, Any]:  # noqa: A002  # the protocol's name
        """Take a label out of the datastore."""
        app_instance().datastore().remove_label(id, site.tag(tag))
        return {}

    def download(label: str, tag: str) -> FileResponse:
        """A label's file."""
        path = site.file(app_instance().datastore().get_label_uri(label, tag), label)
        return FileResponse(path, media_type=get_mime_type(str(path)), filename=path.name)

    def check(image: str, tag: str) -> Response:
        """Whether there is a label."""
        site.file(app_instance().datastore().get_label_uri(image, tag), image)
        return Response(status_code=HTTPStatus.OK, media_type="application/json")

    def info(label: str, tag: str) -> Any:
        """What is known about a label."""
        return app_instance().datastore().get_label_info(label, tag)

    def update_info(label: str, tag: str, info: _Text = "{}") -> None:
        """Add to what is known about a label."""
        app_instance().datastore().update_label_info(label, tag, info_of(info))

    def update_params(label: str, tag: str, params: _Text = "{}") -> None:
        """The older form of the same."""
        app_instance().datastore().update_label_info(label, tag, info_of(params))

    return {
        ("PUT", "/datastore/label"): save,
        ("DELETE", "/datastore/label"): remove,
        ("GET", "/datastore/label"): download,
        ("HEAD", "/datastore/label"): check,
        ("GET", "/datastore/label/info"): info,
        ("PUT", "/datastore/label/info"): update_info,
        ("PUT", "/datastore/updatelabelinfo"): update_params,
    }


def stored_hash(store: Datastore, label: str, tag: str) -> str | None:
    """Hash of the label as it was stored, for the audit log; that it cannot be read does not undo that it is stored."""
    try:
        stored = read_label(store.get_label_uri(label, tag))
    except LivfError as error:
        logger.error("the label of %s cannot be read back: %s", label, error.what)
        return None
    return label_hash(stored.array, stored.affine)
