"""The server's configuration: parsed and validated once, then passed on as values.

It comes from ``--conf KEY VALUE`` pairs of MONAI Label's start command and from ``LIVF_*`` environment variables; a
``--conf`` pair wins. ``livf serve`` hands its options on in the same way. A name that is not known is an error in both:
a misspelt ``LIVF_AUTH`` would leave a server open.

A frozen dataclass and not pydantic's settings: every command reads this, also in a base install, which has no pydantic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from livf.lib.errors import UsageError

ENVIRONMENT_PREFIX: Final = "LIVF_"

_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")
#: Keys that MONAI Label itself reads from the app's configuration.
_MONAILABEL_KEYS = frozenset({"server_mode"})
#: Variables that are no settings of :class:`Config`: defaults of options, and what the project's own tests read.
_OTHER_VARIABLES: Final = frozenset({"LIVF_HOST", "LIVF_PORT", "LIVF_TEST_DATA", "LIVF_WRITE_GOLDEN"})


@dataclass(frozen=True)
class Config:
    """What can be set about a server.

    Attributes:
        model: Folder of the network's weights; None for the shipped ones.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; None for a GPU if there is one, else the CPU.
        state: Folder of the site's own state; None for ``.livf`` in the studies folder.
        auth: Whether a login is needed, also on this machine.
        oidc: TOML file of the identity provider whose logins are taken too; see ``access.oidc.Provider``.
        hosts: Names of the server beside those of the loopback address.
        origins: Origins of web pages that may use the server beside its own.
        proxies: Addresses of the reverse proxies in front of it.
    """

    model: Path | None = None
    device: str | None = None
    state: Path | None = None
    auth: bool = False
    oidc: Path | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()

    @classmethod
    def parse(cls, conf: Mapping[str, Any], environment: Mapping[str, str]) -> Config:
        """Read ``--conf`` pairs and ``LIVF_*`` variables.

        Args:
            conf: Pairs of ``--conf``; keys are the attributes of this class.
            environment: The process environment; ``LIVF_MODEL`` stands for ``model`` and so on.

        Raises:
            UsageError: A key is not known, or a value cannot mean anything.
        """
        known = [entry.name for entry in fields(cls)]
        unknown = sorted(set(conf) - set(known) - _MONAILABEL_KEYS)
        if unknown:
            raise UsageError("there is no such setting", f"--conf {unknown[0]}", f"the settings are {', '.join(known)}")
        variables = {ENVIRONMENT_PREFIX + key.upper() for key in known} | _OTHER_VARIABLES
        stray = sorted(name for name in environment if name.startswith(ENVIRONMENT_PREFIX) and name not in variables)
        if stray:
            raise UsageError(
                "there is no such setting", stray[0], f"the variables are {', '.join(sorted(variables))}; unset it"
            )
        given: dict[str, str] = {}
        for key in known:
            value = str(conf.get(key, environment.get(ENVIRONMENT_PREFIX + key.upper(), ""))).strip()
            if value:
                given[key] = value
        return cls(
            model=_folder("model", given["model"]) if "model" in given else None,
            device=_device(given["device"]) if "device" in given else None,
            state=Path(given["state"]).expanduser().absolute() if "state" in given else None,
            auth=_flag("auth", given.get("auth", "false")),
            oidc=Path(given["oidc"]).expanduser().absolute() if "oidc" in given else None,
            hosts=_list(given.get("hosts", "").lower()),
            origins=tuple(_origin(origin) for origin in _list(given.get("origins", ""))),
            proxies=tuple(_address(address) for address in _list(given.get("proxies", ""))),
        )

    def pairs(self) -> dict[str, str]:
        """The settings that were made, as ``--conf`` pairs: what a child process is started with."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {key: _text(value) for key, value in values.items() if value not in (None, False, ())}

    def state_for(self, studies: Path) -> Path:
        """The folder of a site's own state for a studies folder."""
        return self.state or studies / ".livf"


def _folder(key: str, value: str) -> Path:
    path = Path(value).expanduser().absolute()
    if not path.is_dir():
        raise UsageError("there is no such folder", path, f"give {key} the folder of the network's weights")
    return path


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _flag(key: str, value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise UsageError(f"{value!r} is not true or false", key, "give true or false")
    return value.lower() in ("true", "1", "yes")


def _list(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _origin(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query:
        raise UsageError(f"{value!r} is not an origin", "origins", "give one such as https://viewer.example.org")
    return f"{parts.scheme}://{parts.netloc}".lower()


def _address(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        raise UsageError(f"{value!r} is not an IP address", "proxies", "give one such as 127.0.0.1") from None


def _device(value: str) -> str:
    if not _DEVICE.fullmatch(value):
        raise UsageError(f"{value!r} is not a device", "device", "give cpu, cuda, cuda:N or mps")
    return value
