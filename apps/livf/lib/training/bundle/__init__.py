"""A network as a MONAI bundle. Importing this brings no torch; the name below does when called."""

from livf.lib.training.bundle.export import export_bundle

__all__ = ["export_bundle"]
