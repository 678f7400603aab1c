"""How the server is reached: who may, by which requests, with which parameters, and how it answers.

``install`` puts it before MONAI Label's web app, in ``livf serve`` and under the stock start command alike.
"""

from livf.lib.server.http.gateway import Gateway
from livf.lib.server.http.installing import install

__all__ = ["Gateway", "install"]
