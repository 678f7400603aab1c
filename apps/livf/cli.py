"""The ``livf`` console command: parse, call, print.

Each subcommand is a pair of functions here: one adds its arguments, the other does the work by calling the library.
Heavy imports (torch, monai, monailabel) stay inside the functions that need them, so that ``livf --help`` is quick.

Exit status: 0 done, 1 the work failed (one line says what, where and the remedy), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from livf.lib.config import Config
from livf.lib.errors import LivfError, NotFoundError, UsageError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

RESEARCH_USE = "livf is for research use; it is not a medical device."


_NETWORK = 'install livf with its network: pip install "livf[segment]"'
_SERVER = "the server needs the pinned environment: run `make setup` in a checkout and use its .venv"
#: Packages that not every install has, and what to do where one is missing.
_OPTIONAL = {
    **dict.fromkeys(("torch", "safetensors", "cc3d"), _NETWORK),
    **dict.fromkeys(("monailabel", "monai", "uvicorn", "fastapi", "starlette", "psutil"), _SERVER),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one ``livf`` command and return its exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.DEBUG if arguments.verbose else logging.WARNING, format="%(name)s: %(message)s")
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except LivfError as error:
        logging.getLogger("livf").debug("the error in full", exc_info=True)
        print(f"livf: error: {error.line}", file=sys.stderr)
        return error.exit_status
    except ModuleNotFoundError as error:
        remedy = _OPTIONAL.get((error.name or "").split(".")[0])
        if remedy is None:
            raise
        print(f"livf: error: {error.name} is not installed; {remedy}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("livf: stopped; nothing half-written was left behind", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) went away: not an error of ours. Point stdout at nothing, so that
        # the interpreter's own flush at exit does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="livf", description="Segment L4, the L4-5 disc and L5 on lumbar MRI.", epilog=RESEARCH_USE
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-v", "--verbose", action="store_true", help="show logs")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in _COMMANDS:
        add(commands, common)
    return parser


def _add_serve(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    from livf.lib.server.serve import DEFAULT_PORT, LOOPBACK

    parser = commands.add_parser("serve", parents=[common], help="serve a folder of images to 3D Slicer",
                                 epilog=RESEARCH_USE)  # fmt: skip
    parser.add_argument("studies", metavar="STUDIES", help="folder of the images")
    parser.add_argument("--host", default=os.environ.get("LIVF_HOST", LOOPBACK),
                        help="address to listen on (default: %(default)s, this machine only)")  # fmt: skip
    parser.add_argument("--port", type=_port, default=os.environ.get("LIVF_PORT", str(DEFAULT_PORT)),
                        help="port to listen on; 0 for a free one (default: %(default)s)")  # fmt: skip
    parser.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
    _add_server_options(parser)
    parser.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    from livf.lib.server.serve import serve

    print(f"{RESEARCH_USE} Ctrl-C stops the server.", flush=True)
    serve(arguments.studies, config=_server_config(arguments), host=arguments.host, port=arguments.port,
          with_parent=arguments.with_parent)  # fmt: skip
    return 0


def _add_demo(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("demo", parents=[common], help="start a server on phantoms and show what it does",
                                 epilog=RESEARCH_USE)  # fmt: skip
    parser.add_argument("image", metavar="IMAGE", nargs="?", type=Path, help="your own MRI, in place of phantoms")
    parser.add_argument("--once", action="store_true", help="stop when everything was shown")
    parser.add_argument("--port", type=_port, default="0", help="port of the server (default: a free one)")
    parser.add_argument(
        "--folder", type=Path, default=Path("livf-demo"), help="where it is made (default: %(default)s)"
    )
    _add_server_options(parser)
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from livf.lib.server.demo import demo

    print(RESEARCH_USE, flush=True)
    demo(
        arguments.image,
        folder=arguments.folder,
        config=_server_config(arguments),
        port=arguments.port,
        once=arguments.once,
        say=lambda line: print(line, flush=True),
    )
    return 0


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="DIR", help="folder of other weights than the shipped ones")
    parser.add_argument("--device", help="cpu, cuda, cuda:N or mps (default: a GPU if there is one)")
    parser.add_argument("--state", metavar="DIR", help="folder of logs and kept versions (default: STUDIES/.livf)")


def _server_config(arguments: argparse.Namespace) -> Config:
    return _config(arguments, "model", "device", "state")


def _config(arguments: argparse.Namespace, *keys: str) -> Config:
    """The settings named by options, else by the environment."""
    given = {key: getattr(arguments, key) for key in keys}
    return Config.parse({key: value for key, value in given.items() if value is not None}, os.environ)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def _add_segment(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("segment", parents=[common], help="segment L4, the L4-5 disc and L5 on an MRI",
                                 epilog=RESEARCH_USE)  # fmt: skip
    parser.add_argument("image", metavar="IMAGE", type=Path, help="NIfTI, NRRD, MHA or the folder of a DICOM series")
    parser.add_argument("-o", "--output", metavar="LABEL", type=Path, required=True,
                        help="where the label goes: .nii.gz, .nii, .nrrd or .mha")  # fmt: skip
    parser.add_argument("--level-at", metavar="R,A,S", type=_point,
                        help="a point in the L4-L5 disc, RAS mm (default: look for it); "
                        "write --level-at=R,A,S when R is negative")  # fmt: skip
    parser.add_argument("--probabilities", metavar="FILE", type=Path, help="also write class probabilities (4D NIfTI)")
    parser.add_argument("--picture", metavar="FILE", type=Path,
                        help="also draw the slices through the disc with the label over them (PNG)")  # fmt: skip
    parser.add_argument("--model", metavar="DIR", type=Path, help="folder of other weights than the shipped ones")
    parser.add_argument("--device", help="cpu, cuda, cuda:N or mps (default: a GPU if there is one)")
    parser.set_defaults(run=_segment)


def _segment(arguments: argparse.Namespace) -> int:
    from livf.lib.pipeline import check_outputs, segment_file, summary

    check_outputs(
        arguments.output, arguments.probabilities, arguments.picture
    )  # before torch is imported, and before the work
    if not arguments.image.exists():
        raise NotFoundError("there is no such file or folder", arguments.image, "check its name")
    config = _config(arguments, "model", "device")
    progress = _progress if sys.stderr.isatty() else None
    if progress:
        progress("load the network", 0.0)
    from livf.lib.segmentation import Segmenter

    try:
        segmenter = Segmenter.load(config.model, device=config.device)
        result = segment_file(arguments.image, arguments.output, segmenter, level_at=arguments.level_at,
                              probabilities=arguments.probabilities, picture=arguments.picture,
                              progress=progress)  # fmt: skip
    finally:
        if progress:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
    print(f"network  {segmenter.version} on {segmenter.device}")
    for line in summary(result):
        print(line)
    print(f"label    {arguments.output}")
    if arguments.probabilities:
        print(f"probable {arguments.probabilities}")
    if arguments.picture:
        print(f"picture  {arguments.picture}")
    print(RESEARCH_USE)
    return 0


def _add_measure(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("measure", parents=[common], help="measure both L4-5 foramina of a label",
                                 epilog=RESEARCH_USE)  # fmt: skip
    parser.add_argument("label", metavar="LABEL", type=Path, help="NIfTI, NRRD or MHA: 1 L4, 2 disc, 3 L5")
    parser.add_argument("--image", metavar="IMAGE", type=Path, help="the image it belongs to, named in the document")
    parser.add_argument("--probabilities", metavar="FILE", type=Path,
                        help="as livf segment writes them: the ± then knows how sure the boundary is")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the document livf.measurement/1, not the table")
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, help="folder for document, meshes, markups and pictures"
    )
    parser.set_defaults(run=_measure)


def _measure(arguments: argparse.Namespace) -> int:
    from livf.lib.export.document import to_json
    from livf.lib.measuring import measure_file, table, write_results

    measured = measure_file(arguments.label, image=arguments.image, probabilities=arguments.probabilities)
    written = write_results(measured, arguments.output) if arguments.output else ()
    if arguments.json:
        print(to_json(measured.document), end="")
    else:
        print("\n".join((*table(measured.measurement), *(f"written {path}" for path in written), RESEARCH_USE)))
    # A level with no number at all is work that failed; why, the table and the document say.
    return 0 if measured.measurement.measured else 1


def _add_run(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("run", parents=[common], help="segment and measure many images; goes on where it was",
                                 epilog=RESEARCH_USE)  # fmt: skip
    parser.add_argument("images", metavar="IMAGE", nargs="+", type=Path,
                        help="NIfTI, NRRD, MHA, a DICOM folder, or a folder of these")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True,
                        help="gets a folder for each case and measurements.csv; whole cases are kept")  # fmt: skip
    parser.add_argument("--level-at", metavar="R,A,S", type=_point,
                        help="a point in the L4-L5 disc, RAS mm, for a single image; "
                        "write --level-at=R,A,S when R is negative")  # fmt: skip
    parser.add_argument("--workers", metavar="N", type=_positive, default=1,
                        help="processes; the network uses all cores in one (default: %(default)s)")  # fmt: skip
    parser.add_argument("--model", metavar="DIR", type=Path, help="folder of other weights than the shipped ones")
    parser.add_argument("--device", help="cpu, cuda, cuda:N or mps (default: a GPU if there is one)")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from livf.lib.cohort import Settings, find_sources, processes, run_cohort, summary

    config = _config(arguments, "model", "device")
    sources, failed = find_sources(arguments.images)
    if arguments.level_at and len(sources) + len(failed) > 1:
        raise UsageError("is a point of one image", "--level-at", "give one image")
    settings = Settings.of(config.model, config.device, arguments.level_at)
    if sources:
        workers = min(arguments.workers, len(sources))
        with processes(workers) if workers > 1 else nullcontext() as executor:
            report = run_cohort(sources, arguments.output, settings, executor=executor)
        failed += report.failed
        print("\n".join((*summary(report), f"table    {report.table}", RESEARCH_USE)))
    for name, failure in failed:
        print(f"livf: error: {name}: {failure}", file=sys.stderr)
    return 1 if failed else 0


def _progress(stage: str, share: float) -> None:
    filled = round(20 * share)
    print(f"\r\033[K[{'#' * filled}{'.' * (20 - filled)}] {stage}", end="", file=sys.stderr, flush=True)


def _point(text: str) -> tuple[float, float, float]:
    try:
        r, a, s = (float(part) for part in text.split(","))
        if not all(math.isfinite(value) for value in (r, a, s)):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a point: give three numbers R,A,S in mm") from None
    return r, a, s


def _add_data(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("data", help="make data sets", epilog=RESEARCH_USE)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    _add_data_phantom(kinds, common)


def _add_data_phantom(kinds: Subparsers, common: argparse.ArgumentParser) -> None:
    parser = kinds.add_parser("phantom", parents=[common], epilog=RESEARCH_USE,
                              help="make synthetic lumbar MRIs with labels and exact truth")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True,
                        help="folder of the data set; cases that are there whole are kept")  # fmt: skip
    parser.add_argument("-n", "--number", metavar="N", type=_positive, default=1, help="how many (default: 1)")
    parser.add_argument("--seed", metavar="S", type=_natural, default=0,
                        help="the first one's seed; the others follow (default: 0)")  # fmt: skip
    parser.add_argument("--group", choices=("healthy", "stenosis", "herniation", "both"),
                        help="diagnosis group of all (default: as often as in Chen et al. 2022)")  # fmt: skip
    parser.add_argument("--workers", metavar="W", type=_positive, help="processes (default: one a core)")
    parser.add_argument("--images-only", action="store_true", help="only the images, in DIR itself: a studies folder")
    parser.set_defaults(run=_data_phantom)


def _data_phantom(arguments: argparse.Namespace) -> int:
    from livf.lib.synthesis.cohort import summary, write_cohort

    report = write_cohort(
        arguments.output,
        range(arguments.seed, arguments.seed + arguments.number),
        group=arguments.group,
        workers=arguments.workers,
        images_only=arguments.images_only,
    )
    for name, failure in report.failed:
        print(f"livf: error: {name}: {failure}", file=sys.stderr)
    if report.documents:
        print("\n".join(summary(report.documents)))
    counts = (len(report.written), "written"), (len(report.kept), "kept"), (len(report.failed), "failed")
    print(f"{arguments.output}: {', '.join(f'{count} {what}' for count, what in counts if count)}")
    return 1 if report.failed else 0


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 999999999")
    return int(text)


def _positive(text: str) -> int:
    number = _natural(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


#: One function a subcommand, in the order ``livf --help`` lists them: it adds the parser and sets ``run``.
_COMMANDS: tuple[Callable[..., None], ...] = (_add_segment, _add_measure, _add_run, _add_serve, _add_demo, _add_data)
