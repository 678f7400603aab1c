"""``livf serve`` and ``livf demo`` as a user runs them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

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
    host, port = url.removeprefix("http://").split(":")
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


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGINT is sent by its number")
def test_serve_until_interrupted(tmp_path: Path, image: Path, model_folder: Path) -> None:
    with started("serve", image.parent, "--port", "0", "--host", "0.0.0.0", "--model", model_folder,
                 "--state", tmp_path / "state") as process:  # fmt: skip
        printed, url = read_until(process, r"^ready: (http://127\.0\.0\.1:\d+)$")
        assert "not a medical device" in printed
        assert "warning: 0.0.0.0 can be reached from other machines, and there is no authentication yet" in printed
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
