"""Inference, and which image is next."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated, Any

from fastapi import BackgroundTasks, Body, File, Form, UploadFile
from monailabel.endpoints.activelearning import sample
from monailabel.endpoints.infer import send_response
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.utils.app import app_instance

from livf.lib.access.identity import current
from livf.lib.errors import UsageError
from livf.lib.server.http.endpoints.labels import stored_hash
from livf.lib.server.http.exchange import named, note
from livf.lib.server.http.params import InferParams, Params, parsed
from livf.lib.server.http.received import received
from livf.lib.server.http.site import Site

_OUTPUTS = ("image", "json", "all")


def endpoints(site: Site) -> dict[tuple[str, str], Callable[..., Any]]:
    """Endpoints by method and path."""

    def infer(
        background: BackgroundTasks,
        model: str,
        image: str = "",
        session_id: str = "",
        params: Annotated[str, Form()] = "{}",
        file: Annotated[UploadFile | None, File()] = None,
        output: str = "",
    ) -> Any:
        """Run an infer task on an image of the datastore, a received file or a session's image."""
        if output == "dicom_seg":
            raise UsageError("DICOM SEG needs a DICOMweb store", "output", "ask for image, json or all")
        if output and output not in _OUTPUTS:
            raise UsageError("there is no such output", "output", f"ask for {', '.join(_OUTPUTS)}")
        app: MONAILabelApp = app_instance()
        given = parsed(InferParams, params, config=app.infer_config(model))
        if given.save_label:
            site.tag(given.label_tag or DefaultLabelTag.ORIGINAL.value)
        request = given.model_dump(exclude={"client_id"}, exclude_none=True) | {"model": model}
        with ExitStack() as stack:
            stack.enter_context(named(given.client_id))
            if file is not None:
                request["image"] = stack.enter_context(received(file))
            elif session_id:
                request["image"] = site.image_sessions.image(app, session_id, current())
            elif image:
                site.image(app.datastore(), image)
                request["image"] = image
            else:
                raise UsageError("names no image", "the request", "give image=ID, session_id=ID or a file")
            result = app.infer(request)
        said = result.get("params") or {}
        _note(app, result, said)
        result["params"] = site.scrubber.value(said)
        return send_response(app.datastore(), result, output or None, background)

    def next_sample(strategy: str, params: Annotated[dict[str, Any] | None, Body()] = None) -> Any:
        """Choose the image that an annotator gets next."""
        given = parsed(Params, params, config=params or ())
        principal = current()
        name = principal.name if principal and principal.verified else given.client_id
        with named(given.client_id):
            chosen = sample(strategy, {"client_id": name} if name else {}, name)
        if chosen:
            note(case=str(chosen["id"]), offered=str(chosen["id"]))
        return chosen

    return {("POST", "/infer/{model}"): infer, ("POST", "/activelearning/{strategy}"): next_sample}


def _note(app: MONAILabelApp, result: dict[str, Any], said: dict[str, Any]) -> None:
    """Tell the audit log what was made: by which network, and the hash of the label that was measured or stored."""
    source = said.get("measurement", {}).get("source", {})
    note(model=said.get("model") or source.get("model"), label_sha256=source.get("label_sha256"))
    if result.get("label") and result.get("label") != result.get("file"):
        note(tag=result["tag"], label_sha256=stored_hash(app.datastore(), result["label"], result["tag"]))
