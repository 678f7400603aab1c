"""``livf serve``: the web server in this process.

MONAI Label reads its settings from the environment when it is first imported, and hands the environment on to the
processes it starts; so the environment is set here before that import. Nothing is written into the package's folder:
the app folder that MONAI Label is given, its log and its sessions lie in the site's state folder.
"""

from __future__ import annotations

import _thread
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import replace
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from livf.lib.config import Config
from livf.lib.errors import LivfError, NotFoundError, OutputError, UsageError
from livf.lib.server.claim import claim
from livf.lib.server.exposure import Tls, exposed
from livf.lib.storage import write_text

LOOPBACK: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8000
#: How the line begins that says the server can be used; the address follows.
READY: Final = "ready: "

_MAIN: Final = Path(__file__).parents[2] / "main.py"
_IMPORT_ROOT: Final = Path(__file__).parents[3]
_LOG_BYTES: Final = 10 * 2**20
_LOG_BACKUPS: Final = 5
#: Time given to requests that run when the server is stopped, s.
_GRACE: Final = 5


def serve(
    studies: str,
    *,
    config: Config,
    host: str = LOOPBACK,
    port: int = DEFAULT_PORT,
    tls: Tls | None = None,
    with_parent: bool = False,
    terminal: TextIO | None = None,
) -> None:
    """Serve a folder of images until Ctrl-C or SIGTERM.

    Args:
        studies: The folder.
        config: Network, device, state folder, and who may use the server.
        host: Address to listen on.
        port: Port to listen on; 0 for any free one, which is said.
        tls: Certificate and key to speak HTTPS with.
        with_parent: Stop when standard input closes, so that no server outlives the process that started it.
        terminal: Where lines for the user go; standard output by default.

    Raises:
        LivfError: The folder, the port or the network cannot be used, the address could be reached from other
            machines without login or TLS, or the server does not start.
    """
    terminal = terminal or sys.stdout

    def say(line: str) -> None:
        print(line, file=terminal, flush=True)

    folder = _studies_folder(studies)
    state = config.state_for(folder)
    _refuse_unknown(host)
    loopback = _is_loopback(host)
    config = exposed(config, state, host, loopback=loopback, tls=tls)
    if not loopback and _address(host) is None:
        config = replace(config, hosts=(*config.hosts, host.lower()))
    with _listening(host, port) as listener, stopping_on_sigterm():
        if with_parent:
            threading.Thread(target=_stop_with_standard_input, daemon=True).start()
        # Before the long start; the datastore claims again, for MONAI Label's own start command.
        claim(folder, state)
        app_folder = _app_folder(state)
        port = listener.getsockname()[1]
        os.environ.update(_environment(folder, state, app_folder, config, port))
        log = log_file(state)
        say(f"starting on {folder} (log: {log})")
        say(f"logins: {'needed' if config.auth else 'not needed; whoever uses this machine may do everything'}")
        # MONAI Label and its libraries print as they like; what they say belongs into the log.
        with _logging_to(log), log.open("a", encoding="utf-8", buffering=1) as stream, redirect_stdout(stream):
            _run(listener, tls, lambda: say(f"{READY}{'https' if tls else 'http'}://{_url_host(host)}:{port}"))
    say("stopped")


def log_file(state: Path) -> Path:
    """Where a server with this state folder writes its log (and MONAI Label's ``/logs/`` reads it)."""
    return state / "app" / "logs" / "app.log"


def _studies_folder(studies: str) -> Path:
    if studies.startswith(("http://", "https://")):
        raise UsageError("is not a folder", studies, "give a folder of images; a DICOMweb store is not served yet")
    folder = Path(studies).expanduser().absolute()
    if not folder.is_dir():
        raise NotFoundError("there is no such folder", folder, "give the folder that holds the images")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise OutputError("cannot be written", folder, "labels are stored there: give a folder you may write to")
    return folder


def _app_folder(state: Path) -> Path:
    """The folder MONAI Label takes for the app: a copy of ``main.py``, with room for what MONAI Label puts there."""
    folder = state / "app"
    try:
        log_file(state).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError.from_os_error(error, folder) from error
    write_text(folder / "main.py", _MAIN.read_text(encoding="utf-8"))
    return folder


def _environment(studies: Path, state: Path, app_folder: Path, config: Config, port: int) -> dict[str, str]:
    search = [str(_IMPORT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        # Child processes (batch inference, training) import livf from here; without the variable they never start.
        "PYTHONPATH": os.pathsep.join(search),
        "MONAI_LABEL_APP_DIR": str(app_folder),
        "MONAI_LABEL_STUDIES": str(studies),
        "MONAI_LABEL_APP_CONF": json.dumps(config.pairs()),
        "MONAI_LABEL_SERVER_PORT": str(port),
        "MONAI_LABEL_SESSION_PATH": str(state / "sessions"),
        # Needs mlflow, which is not installed: every training would fail.
        "MONAI_LABEL_TRACKING_ENABLED": "false",
        # Posts requests to the server itself, without authentication.
        "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",
    }


def _run(listener: socket.socket, tls: Tls | None, ready: Callable[[], None]) -> None:
    import uvicorn
    from monailabel.app import app as stock
    from monailabel.interfaces.utils.app import app_instance

    from livf.lib.server.http.protocol import BoundedProtocol

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                ready()

    # Built and warmed here rather than by the web server's start-up, where an error would end in a traceback.
    app_instance().engine.warm()
    settings = uvicorn.Config(
        stock,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE,
        http=BoundedProtocol,
        ws="none",
        # Whom a proxy speaks for is decided by the gateway, which knows the site's proxies.
        proxy_headers=False,
        server_header=False,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    try:
        # uvicorn shuts down at a signal, then raises it again.
        with suppress(KeyboardInterrupt):
            Server(settings).run(sockets=[listener])
    except SystemExit as error:
        raise LivfError("the web server did not start", "", "its log says why") from error
    finally:
        _end_children()


def _refuse_unknown(host: str) -> None:
    try:
        socket.getaddrinfo(host, None)
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError("is not an address of this machine", host, "give --host 127.0.0.1") from error


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket: taken before the long start, so that a port in use is said at once and stays ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        if os.name == "posix":
            # On Windows this option would let two servers share a port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()
        except socket.gaierror as error:
            raise UsageError("is not an address of this machine", host, "give --host 127.0.0.1") from error
        except OSError as error:
            raise LivfError(
                f"cannot be listened on ({error.strerror or error})",
                f"{host}:{port}",
                "stop the server that uses the port, or give another --port",
            ) from error
        yield listener


@contextmanager
def stopping_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that everything that has to be ended is."""

    def stop(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop_with_standard_input() -> None:
    # Unbuffered: a buffered read would hold a lock that the interpreter needs to end.
    while os.read(sys.__stdin__.fileno() if sys.__stdin__ else 0, 1024):
        pass
    _thread.interrupt_main()


@contextmanager
def _logging_to(log: Path) -> Iterator[None]:
    """Write everything from INFO up to the log file; the terminal keeps the level it had."""
    root = logging.getLogger()
    level = root.level
    for handler in root.handlers:
        handler.setLevel(max(handler.level, level))
    file = RotatingFileHandler(log, maxBytes=_LOG_BYTES, backupCount=_LOG_BACKUPS, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    root.addHandler(file)
    root.setLevel(min(level, logging.INFO))
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(file)
        file.close()


def _end_children() -> None:
    """End the processes that MONAI Label started (batch inference, training) and would leave behind."""
    import psutil

    children: list[Any] = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.terminate()
    for child in psutil.wait_procs(children, timeout=_GRACE)[1]:
        with suppress(psutil.NoSuchProcess):
            child.kill()


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return address.is_loopback if address else host == "localhost"


def _url_host(host: str) -> str:
    """What to put into a URL: a server on all addresses is reached by loopback, too."""
    address = _address(host)
    if address and address.is_unspecified:
        return LOOPBACK
    return f"[{host}]" if address and address.version == 6 else host


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
