"""The package as a whole: light to import, installable alone, consistent in what it says of itself."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from importlib.metadata import distribution
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import livf
from livf.lib.anatomy import STRUCTURES

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "apps" / "livf"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = ("torch", "monai", "monailabel", "SimpleITK", "skimage")


def closure(requirements: Iterable[str]) -> set[str]:
    """Names of what is installed for these requirements here, with all that they require in their turn."""
    found: set[str] = set()
    # A requirement with the extras that are asked of it, as its own requirements may depend on them.
    waiting = [(Requirement(text), frozenset[str]()) for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement, asked = waiting.pop()
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in {"", *asked}):
            continue
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) not in seen:
            seen.add((name, extras))
            found.add(name)
            waiting += [(Requirement(text), extras) for text in distribution(name).requires or ()]
    return found


@pytest.mark.parametrize(
    "code",
    [
        "import livf",
        "from livf.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from livf import LivfError, Volume, read_image, write_label, Segmentation",
    ],
)
def test_what_needs_no_torch_brings_none(code: str) -> None:
    code += f"\nimport sys\nprint('loaded', *sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "loaded"


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
    # What the server stands on is installed by the lock, not by an extra.
    server = {"monailabel", "pyjwt", "cryptography"}
    assert explained == wanted | server
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
    assert wanted | server <= {name.lower().replace("_", "-") for name in pinned}


def test_the_lock_pins_all_that_the_extras_bring() -> None:
    project = PROJECT["project"]
    locks = [(ROOT / name).read_text().splitlines() for name in ("requirements.lock", "requirements-cuda.lock")]
    lines = [line for line in chain(*locks) if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    pinned = [canonicalize_name(line.split("==")[0]) for line in lines]
    assert len(pinned) == len(set(pinned))
    brought = closure([*project["dependencies"], *chain(*project["optional-dependencies"].values())])
    assert brought <= set(pinned)


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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built from a copy: a build folder left in the checkout would leak into it."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("apps", "shims"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", ".*"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", target, source)
    [path] = target.glob("livf-*.whl")
    return path


def pip(*arguments: str | Path) -> None:
    """Run pip without the network."""
    done = subprocess.run([sys.executable, "-m", "pip", "-q", *arguments, "--no-index"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    shipped = {".py", ".safetensors", ".json", ".md", ".toml", ".typed"}
    expected = {
        path.relative_to(root).as_posix()
        for root in (PACKAGE.parent, ROOT / "shims")
        for path in root.rglob("*")
        if path.suffix in shipped or path.name == "py.typed"
        if not {"__pycache__", ".mypy_cache", "bin", "logs"} & set(path.relative_to(root).parts)
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == expected


@pytest.mark.slow
def test_the_wheel_works_with_its_base_dependencies_alone(wheel: Path, tmp_path: Path) -> None:
    """In an empty environment that sees the packages of a base install, linked from here, and no other."""
    venv.create(tmp_path / "env", symlinks=True)
    binaries = tmp_path / "env" / "bin"
    pip("--python", binaries / "python", "install", "--no-deps", wheel)
    [site] = (tmp_path / "env").glob("lib/python*/site-packages")
    for name in closure(PROJECT["project"]["dependencies"]):
        package = distribution(name)
        for top in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(package.locate_file(top))))

    def run(*command: str | Path) -> str:
        done = subprocess.run([*command], capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for name in ("torch", "monai", "monailabel"):
        assert run(binaries / "python", "-c", f"import importlib.util as u; print(u.find_spec({name!r}))") == "None\n"
    home = run(binaries / "python", "-c", "import livf; print(livf.__file__)")
    assert Path(home.strip()).is_relative_to(site)
    light = sorted(set(livf.__all__) - {"Segmenter", "segment"})
    run(binaries / "python", "-c", f"from livf import {', '.join(light)}")
    assert "segment" in run(binaries / "livf", "--help")
    run(binaries / "livf", "data", "phantom", "-o", "studies", "-n", "1", "--workers", "1")
    [label] = (tmp_path / "studies" / "labels").glob("*.nii.gz")
    assert "FA" in run(binaries / "livf", "measure", label, "-o", "results")
