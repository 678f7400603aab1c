"""Where the server's images and labels are."""

from livf.lib.server.datastore.folder import FolderDatastore

__all__ = ["FolderDatastore"]
