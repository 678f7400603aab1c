"""``livf serve`` and ``livf demo`` as a user runs them."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from livf.lib.images import read_image, read_label, write_image
from livf.lib.values import Volume

COMMAND = [sys.executable, "-c", "import sys; from livf.cli import main; sys.exit(main())"]
START_SECONDS = 180


@pytest.fixture
def image(tmp_path: Path) -> Path:
    array = np.random.default_rng(2).integers(0, 800, (36, 40, 30)).astype(np.int16)
    path = tmp_path / "my scan.mha"
    write_image(path, Volume(array, np.diag([2.0, 2.0, 2.5, 1.0])))
    return path


def livf(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=START_SECONDS,
        env={**os.environ, **environment}, check=False,
    )  # fmt: skip


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True)  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def read_until(process: subprocess.Popen[str], pattern: str) -> tuple[str, str]:
    """Everything printed until a line matches, and the match's first group."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if found := re.search(pattern, line):
            return printed, found.group(1)
    pytest.fail(f"it ended before it printed {pattern!r}:\n{printed}")


def one_line(result: subprocess.CompletedProcess[str], status: int, said: str) -> None:
    assert result.returncode == status, result.stderr
    assert said in result.stderr and result.stderr.count("\n") == 1, result.stderr


def answers(url: str) -> bool:
    host, port = url.split("//")[1].split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_no_such_folder(tmp_path: Path) -> None:
    one_line(
        livf("serve", tmp_path / "none"), 1, "none: there is no such folder; give the folder that holds the images"
    )


def test_a_file_in_place_of_a_folder(image: Path) -> None:
    one_line(livf("serve", image), 1, "there is no such folder")


def test_a_dicomweb_store(tmp_path: Path) -> None:
    one_line(livf("serve", "http://pacs/dicom-web"), 2, "a DICOMweb store is not served yet")


def test_settings_that_mean_nothing(tmp_path: Path) -> None:
    one_line(livf("serve", tmp_path, "--device", "gpu"), 2, "'gpu' is not a device")
    one_line(livf("serve", tmp_path, LIVF_MODEL=str(tmp_path / "none")), 2, "there is no such folder")
    one_line(livf("serve", tmp_path, "--host", "no.such.host.invalid"), 2, "is not an address of this machine")
    for port in ("65536", "-1", "http"):
        result = livf("serve", tmp_path, f"--port={port}")
        assert result.returncode == 2 and "is not a port" in result.stderr


def test_port_in_use_is_said_before_the_long_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        start = time.monotonic()
        result = livf("serve", tmp_path, "--port", taken.getsockname()[1])
    one_line(result, 1, "stop the server that uses the port, or give another --port")
    assert time.monotonic() - start < 5


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    one_line(livf("serve", tmp_path), 1, "cannot be written")


def test_demo_of_what_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "text.nii.gz").write_text("text")
    one_line(livf("demo", tmp_path / "text.nii.gz", "--folder", tmp_path / "demo"), 1, "text.nii.gz: ")
    one_line(livf("demo", tmp_path / "none.nii"), 1, "there is no such file")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_beyond_this_machine_it_needs_logins_and_tls(tmp_path: Path, host: str) -> None:
    line = f"livf: error: --host {host}: would be open to other machines; to listen there it needs "
    login, tls = "a login (make one: livf server token create, or give --oidc)", "TLS (--ssl-certfile and --ssl-keyfile"
    assert f"{line}{login} and {tls}" in livf("serve", tmp_path, "--host", host).stderr
    one_line(livf("serve", tmp_path, "--host", host, "--behind-proxy"), 2, f"{line}{login}\n")
    one_line(livf("serve", tmp_path, "--behind-proxy"), 2, login)
    one_line(livf("serve", tmp_path, "--host", host, "--auth"), 2, login)
    assert livf("server", "token", "create", tmp_path, "anna").returncode == 0
    one_line(livf("serve", tmp_path, "--host", host), 2, f"{line}{tls}, or --behind-proxy)")
    number = livf("server", "token", "list", tmp_path).stdout.splitlines()[1].split()[0]
    assert livf("server", "token", "revoke", tmp_path, number).returncode == 0
    one_line(livf("serve", tmp_path, "--host", host, "--behind-proxy"), 2, login)


def test_access_settings_that_mean_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("text")
    for options, said in (
        (["--ssl-certfile", tmp_path / "a.pem"], "--ssl-keyfile: is missing"),
        (["--ssl-certfile", tmp_path / "none", "--ssl-keyfile", tmp_path / "a.pem"], "there is no such file"),
        (["--ssl-certfile", tmp_path / "a.pem", "--ssl-keyfile", tmp_path / "a.pem"], "cannot be used with its key"),
        (["--oidc", tmp_path / "none"], "there is no such file"),
        (["--oidc", tmp_path / "a.pem"], "is not a TOML file"),
        (["--behind-proxy", "proxy"], "'proxy' is not an IP address"),
        (["--allow-origin", "viewer.example"], "'viewer.example' is not an origin"),
    ):
        result = livf("serve", tmp_path, *options)
        assert result.returncode in (1, 2) and said in result.stderr, result.stderr
        assert result.stderr.count("\n") == 1


def test_tokens(tmp_path: Path) -> None:
    assert "There is no token yet" in livf("server", "token", "list", tmp_path).stdout
    made = livf("server", "token", "create", tmp_path, "anna", "--role", "reviewer", "--role", "annotator", "--days", 7)
    text = made.stdout.splitlines()[-1]
    assert made.returncode == 0 and re.fullmatch(r"livf_[0-9a-f]{8}_[\w-]{43}", text)
    listed = livf("server", "token", "list", tmp_path)
    assert "anna" in listed.stdout and "annotator, reviewer" in listed.stdout and "valid" in listed.stdout
    assert text not in listed.stdout and text.split("_", 2)[2] not in listed.stdout
    number = text.split("_")[1]
    assert livf("server", "token", "revoke", tmp_path, number).returncode == 0
    assert "revoked" in livf("server", "token", "list", tmp_path).stdout
    one_line(livf("server", "token", "revoke", tmp_path, "0" * 8), 1, "00000000: there is no such token")
    one_line(livf("server", "token", "create", tmp_path, "a/b"), 2, "is not a name")
    one_line(livf("server", "token", "list", tmp_path / "none"), 1, "there is no such folder")
    assert livf("server", "token", "create", tmp_path, "anna", "--role", "king").returncode == 2


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGINT is sent by its number")
def test_serve_to_other_machines(tmp_path: Path, image: Path, model_folder: Path) -> None:
    certificate, key = _certificate(tmp_path)
    state = ("--state", tmp_path / "state")
    text = livf("server", "token", "create", image.parent, "anna", *state).stdout.splitlines()[-1]
    with started("serve", image.parent, "--port", "0", "--host", "0.0.0.0", "--model", model_folder, *state,
                 "--ssl-certfile", certificate, "--ssl-keyfile", key) as process:  # fmt: skip
        printed, url = read_until(process, r"^ready: (https://127\.0\.0\.1:\d+)$")
        assert "logins: needed" in printed
        trust = ssl.create_default_context(cafile=str(certificate))
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{url}/info/", context=trust)
        request = urllib.request.Request(f"{url}/info/", headers={"Authorization": f"Bearer {text}"})
        with urllib.request.urlopen(request, context=trust) as answer:
            assert answer.status == 200
        login = urllib.request.Request(f"{url}/livf/session", data=f"username=anna&password={text}".encode())
        with urllib.request.urlopen(login, context=trust) as answer:
            assert (
                answer.headers["set-cookie"].startswith("__Host-livf=") and "; Secure" in answer.headers["set-cookie"]
            )
        if own := _own_address():
            request = urllib.request.Request(
                url.replace("127.0.0.1", own) + "/info/", headers={"Authorization": f"Bearer {text}"}
            )
            with urllib.request.urlopen(request, context=ssl._create_unverified_context()) as answer:
                assert answer.status == 200 and "max-age" in answer.headers["strict-transport-security"]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert not answers(url)


def _own_address() -> str:
    """This machine's address in its network; empty where it is in none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return ""


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    now = datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "livf test")])
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    plain = serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGINT is sent by its number")
def test_serve_until_interrupted(tmp_path: Path, image: Path, model_folder: Path) -> None:
    with started("serve", image.parent, "--port", "0", "--model", model_folder,
                 "--state", tmp_path / "state") as process:  # fmt: skip
        printed, url = read_until(process, r"^ready: (http://127\.0\.0\.1:\d+)$")
        assert "not a medical device" in printed
        assert "logins: not needed; whoever uses this machine may do everything" in printed
        with urllib.request.urlopen(f"{url}/logs/?lines=5&text=true") as log:
            assert log.status == 200
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert rest == "stopped\n"
    assert not answers(url)
    assert (tmp_path / "state" / "app" / "logs" / "app.log").is_file()
    assert not (image.parent / ".livf").exists()


@pytest.mark.slow
def test_demo_of_an_image_that_cannot_hold_the_level(tmp_path: Path, model_folder: Path) -> None:
    array = np.random.default_rng(2).integers(0, 800, (10, 12, 9)).astype(np.int16)
    write_image(tmp_path / "head.nii.gz", Volume(array, np.diag([2.0, 2.0, 2.0, 1.0])))
    result = livf("demo", "--once", tmp_path / "head.nii.gz", "--model", model_folder, "--folder", tmp_path / "demo")
    one_line(result, 1, "livf: error: head: covers ")


@pytest.mark.slow
def test_demo_once(tmp_path: Path, image: Path, model_folder: Path) -> None:
    result = livf("demo", "--once", image, "--model", model_folder, "--folder", tmp_path / "demo")
    assert result.returncode == 0, result.stderr
    assert "not a medical device" in result.stdout
    assert "6. read back:   the same, bit for bit" in result.stdout or "left out: nothing was found" in result.stdout
    [url] = set(re.findall(r"http://127\.0\.0\.1:\d+", result.stdout))
    assert not answers(url)
    assert image.read_bytes() == (tmp_path / "demo" / "own" / "my scan" / "my scan.mha").read_bytes()


@pytest.mark.slow
def test_demo_of_phantoms_uses_them_again(tmp_path: Path, model_folder: Path) -> None:
    folder = tmp_path / "demo"
    arguments = ("demo", "--once", "--model", model_folder, "--folder", folder)
    first = livf(*arguments)
    assert first.returncode == 0, first.stderr
    assert "2. datastore:   3 images" in first.stdout and " DSC " in first.stdout
    data = folder / "phantoms"
    images = {path: path.stat().st_mtime_ns for path in (data / "images").glob("*.nii.gz")}
    assert len(images) == 3
    for path in images:
        assert read_label(data / "labels" / path.name).shape == read_image(path).shape
    second = livf(*arguments)
    assert second.returncode == 0, second.stderr
    assert {path: path.stat().st_mtime_ns for path in images} == images


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_a_killed_demo_leaves_no_server(tmp_path: Path, image: Path, model_folder: Path) -> None:
    with started("demo", image, "--model", model_folder, "--folder", tmp_path / "demo") as process:
        _, url = read_until(process, r"^The server: +(http://[\d.:]+)")
        read_until(process, r"(stays up)")
        assert answers(url)
        process.kill()
        end = time.monotonic() + 30
        while answers(url):
            assert time.monotonic() < end, "the server outlived the demo"
            time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGTERM is POSIX")
def test_a_failed_start_of_the_demo_shows_the_log(tmp_path: Path, image: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = livf("demo", "--once", image, "--model", tmp_path / "empty", "--folder", tmp_path / "demo")
    assert result.returncode == 1
    assert "The end of the server's log" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("livf: error: the server did not start: ")
    assert "Traceback" not in result.stdout
