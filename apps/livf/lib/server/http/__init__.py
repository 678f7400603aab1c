"""How the server answers: errors as one line, and the requests livf answers itself.

``install`` puts it over MONAI Label's web app, in ``livf serve`` and under the stock start command alike.
"""

from livf.lib.server.http.gateway import Gateway, install

__all__ = ["Gateway", "install"]
