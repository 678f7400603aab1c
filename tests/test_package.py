"""The package as a whole: light to import, installable alone, consistent in what it says of itself."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest

import livf
from livf.lib.anatomy import STRUCTURES

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "apps" / "livf"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = ("torch", "monai", "monailabel", "SimpleITK", "skimage")


def python(code: str, *, executable: str = sys.executable, **environment: str) -> str:
    """Run code in a fresh interpreter and give what it prints."""
    done = subprocess.run(
        [executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
        cwd=ROOT.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import livf",
        "from livf.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from livf import LivfError, Volume, read_image, write_label, Segmentation",
    ],
)
def test_what_needs_no_torch_brings_none(code: str) -> None:
    loaded = python(f"{code}\nimport sys\nprint('loaded', *sorted(set(sys.modules) & set({HEAVY!r})))").splitlines()[-1]
    assert loaded == "loaded"


def test_every_public_name_is_there() -> None:
    for name in livf.__all__:
        assert getattr(livf, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        livf.nonsense  # noqa: B018


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["project"]["version"]
    assert livf.__version__ == version
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_dependency_is_explained_in_the_readme_and_pinned_in_the_lock() -> None:
    project = PROJECT["project"]
    requirements = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    wanted = {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in requirements}
    table = (ROOT / "README.md").read_text().split("## What it stands on")[1]
    explained = {
        name.strip().lower()
        for row in re.findall(r"^\| ([\w, .-]+) \|", table, flags=re.MULTILINE)
        for name in row.split(",")
    } - {"package"}
    assert explained == wanted | {"monailabel"}
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
    assert wanted | {"monailabel"} <= {name.lower().replace("_", "-") for name in pinned}


def test_every_folder_of_code_is_packaged() -> None:
    folders = {
        ".".join(("livf", *path.parent.relative_to(PACKAGE).parts))
        for path in PACKAGE.rglob("__init__.py")
        if "lib" in path.relative_to(PACKAGE).parts or path.parent == PACKAGE
    }
    assert folders | {"pydicom_seg"} == set(PROJECT["tool"]["setuptools"]["packages"])


def test_only_the_table_writes_a_structures_name() -> None:
    """Names of structures as whole strings; prose that mentions L4 is no name."""
    names = {structure.name for structure in STRUCTURES}
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "anatomy.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in names:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.value!r}")
    assert not found


def test_the_stand_in_says_what_it_is() -> None:
    import pydicom_seg

    with pytest.raises(RuntimeError, match="stand-in"):
        pydicom_seg.template  # noqa: B018


@pytest.mark.slow
def test_a_wheel_works_without_the_checkout(tmp_path: Path) -> None:
    """Built, unpacked elsewhere, and run with the base dependencies in sight but torch and monailabel barred."""
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT],
        check=True,
        timeout=300,
    )
    [wheel] = tmp_path.glob("livf-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
        names = archive.namelist()
    assert "livf/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "scripts"))]
    code = """
import sys
for name in ("torch", "monai", "monailabel"):
    sys.modules[name] = None  # importing it fails, as where it is not installed
import livf, livf.cli
print(livf.__file__)
try: livf.cli.main(["--help"])
except SystemExit as end: assert not end.code
from livf import read_image, make_phantom, write_label
"""
    said = python(code, PYTHONPATH=str(tmp_path / "site"))
    assert said.startswith(str(tmp_path))
    assert "segment" in said
