"""Images that are segmented without being added to the datastore."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import File, UploadFile
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import get_mime_type
from starlette.responses import FileResponse

from livf.lib.access.identity import current
from livf.lib.errors import UsageError
from livf.lib.images import read_image
from livf.lib.server.http.image_sessions import fits
from livf.lib.server.http.received import image_name, plain, write
from livf.lib.server.http.site import Site
from livf.lib.server.naming import at

#: Most files of one series.
MAX_FILES = 1000


def endpoints(site: Site) -> dict[tuple[str, str], Callable[..., Any]]:
    """Endpoints by method and path."""
    sessions = site.image_sessions

    def create(files: Annotated[list[UploadFile], File()], uncompress: bool = False, expiry: int = 0) -> dict[str, Any]:
        """Keep an image for a while: one file, or the files of a DICOM series."""
        if uncompress:
            raise UsageError("archives are not unpacked", "uncompress", "send the files of the image themselves")
        if len(files) > MAX_FILES:
            raise UsageError(f"are more than {MAX_FILES}", "the files", "send one series")
        with tempfile.TemporaryDirectory(prefix="livf-received-") as folder:
            fits(sum(upload.size or 0 for upload in files), Path(folder))
            single = len(files) == 1
            name = image_name(files[0]) if single else "series"
            image = Path(folder) / name
            if not single:
                image.mkdir()
            for position, upload in enumerate(files):
                write(upload, image if single else image / f"{position:04d}-{plain(upload.filename or '')}")
            with at(name):
                read_image(image)
            number, told = sessions.add(app_instance(), image, expiry, current())
        return {"session_id": number, "session_info": told}

    def get(session_id: str, image: bool = False) -> Any:
        """What is known about a session, or its image."""
        if not image:
            return sessions.told(app_instance(), session_id, current())
        path = sessions.image(app_instance(), session_id, current())
        if path.is_dir():
            raise UsageError("is a DICOM series of several files", "the session's image", "you have its files yourself")
        return FileResponse(path, media_type=get_mime_type(str(path)), filename=path.name)

    def remove(session_id: str) -> dict[str, Any]:
        """End a session."""
        return sessions.remove(app_instance(), session_id, current())

    return {
        ("PUT", "/session/"): create,
        ("GET", "/session/{session_id}"): get,
        ("DELETE", "/session/{session_id}"): remove,
    }
