"""What the endpoints of one server share."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from monailabel.interfaces.datastore import Datastore

from livf.lib.access.login import Logins
from livf.lib.errors import NotFoundError
from livf.lib.server.http.image_sessions import ImageSessions
from livf.lib.server.http.names import confined
from livf.lib.server.http.policy import Policy
from livf.lib.server.http.scrub import Scrubber


@dataclass(frozen=True)
class Site:
    """A server and its folders.

    Attributes:
        studies: The studies folder.
        state: The site's state folder.
        policy: What the site allows.
        logins: How people log in.
        scrubber: Cleans what is answered.
        image_sessions: Images kept for a while.
    """

    studies: Path
    state: Path
    policy: Policy
    logins: Logins
    scrubber: Scrubber
    image_sessions: ImageSessions = field(default_factory=ImageSessions)

    def image(self, store: Datastore, image: str) -> Path:
        """The file of an image, if it may be read and handed out; a DICOM series is converted first.

        Raises:
            NotFoundError: There is none, or it leads out of the studies folder.
        """
        path = store.get_image_uri(image)
        if not path:
            raise NotFoundError("there is no such image", image, "GET /datastore/?output=all lists the images")
        return self.file(path, image)

    def tag(self, tag: str) -> str:
        """A tag, if its folder is one of the studies folder's own.

        Raises:
            NotFoundError: Its folder is a link that leads elsewhere.
        """
        folder = self.studies / "labels" / tag
        if not Path(os.path.realpath(folder)).is_relative_to(self.studies.resolve()):
            raise NotFoundError("leads out of the studies folder", tag, "make it a folder, not a link")
        return tag

    def file(self, path: str, what: str) -> Path:
        """A file that the datastore names, if it may be handed out.

        Args:
            path: What the datastore gave; empty where it has none.
            what: The client's name for it.

        Raises:
            NotFoundError: There is none, or it leads out of the studies folder.
        """
        return confined(path, self.studies, self.state / "converted", what)
