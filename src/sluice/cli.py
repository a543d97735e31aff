"""The command line: what can be asked for, and how a command ends. What each calls: `commands`."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from sluice import commands
from sluice.errors import SluiceError
from sluice.table.memory import map_large_blocks

INTERRUPTED: Final = 130
_OBJECTS: Final = 20_000  # made between two looks for dead circles, instead of 700: a fiftieth of a run's time was that


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exit code 0, 1 (problems found), 2 (to mend), 3 (no-go), 130 (interrupted)."""
    # Arrow's own allocator keeps what it has freed: 70 MB here at 20,000 images. It is read when Arrow is imported.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    gc.set_threshold(_OBJECTS)
    map_large_blocks()
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        code = options.call(options)
        sys.stdout.flush()
    except SluiceError as error:
        print(f"sluice: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        again = f"; `sluice run {options.recipe}` goes on where it was" if "recipe" in options else ""
        print(f"\nsluice: stopped{again}", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:  # `sluice status RUN | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left would fail again at exit
        code = 0
    gc.freeze()  # all of it goes: Python would look through it for dead circles, 70 ms after a run
    sys.exit(code or 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sluice",
        description="A data engine for vision-language models: measure once, decide many times, never lose a reason.",
        epilog="A first look: `sluice demo`. With your own images: `sluice init FOLDER`, then `sluice run`.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    parsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, call: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        added = parsers.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        added.set_defaults(call=call)
        return added

    def run_command(name: str, call: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
        added = command(name, call, text)
        added.add_argument("run", metavar="RUN", type=_place, help="the run folder, or its URL")
        added.add_argument("--json", action="store_true", help="print JSON")
        return added

    one = command("demo", commands.demo, "draw a world whose truth is known, run a recipe on it, print what it caught")
    one.add_argument("folder", metavar="FOLDER", type=Path, nargs="?", default=Path("demo"), help="default: demo")
    one.add_argument("--count", type=_positive, default=2000, help="samples to draw; default: 2000")
    one.add_argument("--seed", type=int, default=0, help="default: 0")

    one = command("init", commands.init, "look at a folder and write a commented recipe for what is in it")
    one.add_argument("folder", metavar="FOLDER", help="folder, file or URL")
    one.add_argument("--output", "-o", type=Path, default=Path("recipe.yaml"), help="default: recipe.yaml")
    one.add_argument("--force", action="store_true", help="replace a recipe that is there")

    one = command("run", commands.run, "carry out a recipe, or go on with it where it was")
    one.add_argument("recipe", metavar="RECIPE", type=Path, help="the recipe, a YAML file")
    one.add_argument("--only", metavar="STAGE", help="stop after this stage, e.g. 01_filtered")

    one = command(
        "retry", commands.retry, "try again what failed with a class, such as api or io, and go on with the run"
    )
    one.add_argument("run", metavar="RUN", type=_place, help="the run folder, or its URL")
    one.add_argument("--class", dest="failure_class", metavar="CLASS", required=True, help="e.g. api, io, timeout")

    one = command("plan", commands.plan, "measure a sample and forecast yield, time and disk for the whole")
    one.add_argument("recipe", metavar="RECIPE", type=Path, help="the recipe, a YAML file")
    one.add_argument("--sample", type=_share, default=0.01, metavar="SHARE", help="e.g. 1%%; default: 1%%")
    one.add_argument(
        "--ask",
        action="store_true",
        help="ask captioners and services about the sample, to forecast what they will take: services charge for it; "
        "without this nobody is asked, and nothing is paid",
    )
    one.add_argument("--json", action="store_true", help="print JSON")

    recipe = parsers.add_parser("recipe", help="check a recipe, or print the schema for editors")
    inner = recipe.add_subparsers(title="commands", metavar="COMMAND", required=True)
    one = inner.add_parser("check", help="check a recipe without running it")
    one.add_argument("recipe", metavar="RECIPE", type=Path, help="the recipe, a YAML file")
    one.set_defaults(call=commands.recipe_check)
    inner.add_parser("schema", help="print the JSON Schema of recipes").set_defaults(call=commands.recipe_schema)

    one = command("measures", commands.measures, "list the measures and their columns")
    one.add_argument("--plugin", type=Path, action="append", default=[], help="a Python file with measures of your own")

    run_command("status", commands.status, "show the stages, counts, reasons, seconds and bytes of a run")
    one = run_command("why", commands.why, "tell the whole story of a sample")
    one.add_argument("sample", metavar="SAMPLE", help="id or its beginning, key, file name, or shard member")
    one = run_command("what-if", commands.what_if, "decide again with other rules, from the stored measurements alone")
    one.add_argument(
        "--set",
        action="append",
        required=True,
        metavar="'RULE: SQL'",
        help="'blurry: sharpness < 150' or 'blurry: off'",
    )
    one = run_command("curve", commands.curve, "show the yield at every threshold of a column")
    one.add_argument("--column", required=True, help="a numeric column, e.g. sharpness")
    run_command(
        "calibrate", commands.calibrate, "show what a cosine of the encoder means: true against mismatched pairs"
    )
    run_command("report", commands.report, "write report.html again")
    one = run_command(
        "export", commands.export, "write the packed samples in another format too, without touching the rest"
    )
    one.add_argument(
        "--to", metavar="FORMAT", action="append", required=True, help="e.g. tfrecord, mds, litdata, llava"
    )
    one.add_argument(
        "--into",
        metavar="FOLDER",
        type=_place,
        help="a pack of its own there, a folder or a URL; default: into RUN/04_final",
    )
    one.add_argument("--shard-bytes", type=_positive, metavar="N", help="default: as the recipe's first format")
    one.add_argument("--shard-samples", type=_positive, metavar="N", help="default: as the recipe's first format")
    run_command("verify", commands.verify, "read every shard again and check it against the manifest")
    one = command(
        "index", commands.index, "list the samples of WebDataset tars that others wrote, so that the loader reads them"
    )
    one.add_argument("folder", metavar="FOLDER", help="folder or URL with tars, nested or not")
    one.add_argument("--into", metavar="FOLDER", type=Path, help="where the manifest goes; default: into FOLDER")
    one.add_argument(
        "--split",
        type=_split,
        action="append",
        default=[],
        metavar="NAME=GLOB",
        help="the split of shards by their path, e.g. val='*val*'; default: all are train",
    )
    one.add_argument("--measure", action="store_true", help="read image headers too: their sizes, for token budgets")
    one.add_argument("--tokenizer", type=Path, metavar="FILE", help="count the tokens of captions, for token budgets")
    one.add_argument("--pattern", help="how a tiktoken file splits texts, e.g. cl100k_base")
    one.add_argument("--json", action="store_true", help="print JSON")
    one = command("dedup", commands.dedup, "hold new hashes against a stored index of hashes, and add them to it")
    one.add_argument("new", metavar="NEW", type=Path, help="a CSV, TSV or Parquet file with a column of hashes")
    one.add_argument("--against", metavar="INDEX", type=Path, required=True, help="the index, an .arrow file")
    one.add_argument("--distance", type=_from_zero, default=8, metavar="BITS", help="default: 8")
    one.add_argument("--hash", default="phash", metavar="COLUMN", help="the column of hashes; default: phash")
    one.add_argument("--add", action="store_true", help="add the new ones to the index; make it where it is not there")
    one.add_argument("--out", type=Path, metavar="FILE", help="what is near which, a Parquet file with a row a hash")
    one.add_argument("--json", action="store_true", help="print JSON")
    one = command(
        "receipt", commands.receipt, "hold what a training was served against its packs: every id once an epoch"
    )
    one.add_argument("folder", metavar="FOLDER", type=Path, help="where loader.write_receipt() wrote")
    one.add_argument(
        "--pack",
        metavar="RUN",
        action="append",
        default=[],
        help="a pack of the loader, folder or URL, in their order; default: where they were",
    )
    one.add_argument("--id", metavar="ID", help="print when, where and by whom this sample was served, JSON a line")
    one.add_argument("--json", action="store_true", help="print JSON")
    one = run_command(
        "audit", commands.audit, "draw a sample of what is packed for a person to judge, or read the verdicts"
    )
    one.add_argument("--n", type=_positive, default=200, help="samples to draw; default: 200")
    one.add_argument("--seed", type=_from_zero, help="default: the recipe's")
    one.add_argument("--verdicts", type=Path, metavar="SHEET", help="the sheet, filled in: CSV, or the same as JSON")
    one = run_command(
        "gate", commands.gate, "go or no-go: cost, compliance, sampling and traceability against the recipe"
    )
    one.add_argument("--fast", action="store_true", help="do not read the shards again")
    one = run_command("takedown", commands.takedown, "remove samples and their content; the fact stays in the ledger")
    for name, text in (
        ("ids", "file of sample ids"),
        ("url", "file of source URLs"),
        ("domain", "file of domains"),
        ("hash", "file of SHA-256 of images"),
    ):
        one.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"{text}, one a line")

    training = parsers.add_parser("train", help="train a model of our own; needs torch: pip install 'sluice[train]'")
    inner = training.add_subparsers(title="commands", metavar="COMMAND", required=True)
    one = inner.add_parser("encoder", help="train a dual encoder on drawn worlds, score it and write its card")
    one.add_argument("--recipe", dest="name", metavar="NAME", default="builtin", help="default: builtin")
    one.add_argument("--out", metavar="FOLDER", type=Path, required=True, help="where the model goes")
    one.add_argument("--minutes", type=float, metavar="N", help="a shorter training, of about N minutes on two cores")
    one.add_argument("--seed", type=int, default=0, help="default: 0")
    one.set_defaults(call=commands.train_encoder)
    return parser


class _Version(argparse.Action):
    """Print the version only when asked: reading it takes longer than the rest of the command line."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"sluice {version('sluice')}")
        parser.exit()


def _share(text: str) -> float:
    """`1%`, `0.01`: a share of the whole."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write 1% or 0.01")
    return share


def _split(text: str) -> tuple[str, str]:
    """`val=*val*`: a name, and which shards."""
    name, _, pattern = text.partition("=")
    if not (name.strip() and pattern):
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=GLOB, e.g. val='*val*'")
    return name.strip(), pattern


def _place(text: str) -> Path | str:
    """A folder, or a URL as it is written: a path has no two slashes."""
    return text if "://" in text else Path(text)


def _positive(text: str) -> int:
    return _from(1, text)


def _from_zero(text: str) -> int:
    return _from(0, text)


def _from(least: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from {least}")
    return number


if __name__ == "__main__":
    main()
