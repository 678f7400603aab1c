"""Where MONAI Label looks for the app; it runs this file outside ``sys.modules``, so nothing is defined here."""

from livf.lib.server.app import LivfApp  # noqa: F401
