"""What each command of the command line calls and prints; no logic. What it is for: `sluice COMMAND --help`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any, Final

from sluice.wording import counted

if TYPE_CHECKING:
    from sluice.run.ledger import Run

PROBLEMS_FOUND: Final = 1
NO_GO: Final = 3


def run(options: argparse.Namespace) -> None:
    from sluice.run.conductor import run
    from sluice.run.progress import listener_for
    from sluice.run.recipe import load_recipe

    listener, close = listener_for(sys.stderr)
    try:
        file = load_recipe(options.recipe)
        run(file, only=options.only, listener=listener)
    finally:
        close()
    print(file.layout.named)


def retry(options: argparse.Namespace) -> None:
    from sluice.run.conductor import run
    from sluice.run.progress import listener_for
    from sluice.run.recipe import load_recipe
    from sluice.run.retrying import forget

    opened = _open(options)
    forgotten = forget(opened, options.failure_class)
    print(forgotten)
    if forgotten.anything:
        listener, close = listener_for(sys.stderr)
        try:
            print(run(load_recipe(opened.file.path), again=True, listener=listener))
        finally:
            close()


def plan(options: argparse.Namespace) -> None:
    from sluice.run.plan import plan
    from sluice.run.recipe import load_recipe

    _show(plan(load_recipe(options.recipe), options.sample, ask=options.ask), options)


def init(options: argparse.Namespace) -> None:
    from sluice.run.init import write_recipe

    path, findings = write_recipe(options.folder, options.output, overwrite=options.force)
    for finding in findings:
        print(finding)
    print(f"wrote {path}; next: sluice run {path}")


def recipe_check(options: argparse.Namespace) -> None:
    from sluice.run.conductor import prepare
    from sluice.run.recipe import load_recipe

    prepared = prepare(load_recipe(options.recipe))
    print(
        f"{options.recipe}: fine ({counted(len(prepared.measures), 'measure')}, {counted(len(prepared.rules), 'rule')})"
    )


def recipe_schema(_: argparse.Namespace) -> None:
    from sluice.run.recipe_reference import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def measures(options: argparse.Namespace) -> None:
    from sluice.measures.reference import listing
    from sluice.run.measure_plan import load_plugins

    load_plugins(tuple(str(path.absolute()) for path in options.plugin))
    print(listing())


def why(options: argparse.Namespace) -> None:
    _show(_open(options).why(options.sample), options)


def what_if(options: argparse.Namespace) -> None:
    _show(_open(options).what_if(options.set), options)


def curve(options: argparse.Namespace) -> None:
    _show(_open(options).curve(options.column), options)


def calibrate(options: argparse.Namespace) -> None:
    from sluice.run.calibrating import stored_calibration

    _show(stored_calibration(_open(options)), options)


def status(options: argparse.Namespace) -> None:
    _show(_open(options, glance=True).status(), options)


def report(options: argparse.Namespace) -> None:
    from sluice.run.reporting import write_report

    print(write_report(_open(options)))


def export(options: argparse.Namespace) -> None:
    from sluice.run.export_command import export
    from sluice.run.progress import listener_for

    opened = _open(options)
    listener, close = listener_for(sys.stderr)
    try:
        sizes = {"shard_bytes": options.shard_bytes, "shard_samples": options.shard_samples}
        result = export(opened, options.to, into=options.into, listener=listener, **sizes)
    finally:
        close()
    _show(result, options)


def verify(options: argparse.Namespace) -> int:
    from sluice.run.verifying import is_pack, verify_exported, verify_run

    result = verify_exported(options.run) if is_pack(options.run) else verify_run(_open(options).layout)
    _show(result, options)
    return 0 if result.fine else PROBLEMS_FOUND


def index(options: argparse.Namespace) -> int:
    from sluice.load.indexing import index_tars

    counting = {"tokenizer": options.tokenizer, "pattern": options.pattern}
    result = index_tars(options.folder, options.into, splits=options.split, measure=options.measure, **counting)
    _show(result, options)
    return 0 if result.fine else PROBLEMS_FOUND


def dedup(options: argparse.Namespace) -> None:
    from sluice.run.dedup_command import deduplicate
    from sluice.run.progress import share_told

    told = share_told(sys.stderr, "compare")
    asked = {"distance": options.distance, "column": options.hash, "add": options.add, "out": options.out}
    _show(deduplicate(options.new, options.against, **asked, progress=told), options)


def receipt(options: argparse.Namespace) -> int:
    from sluice.load.receipt_check import check_receipts, when_served

    if options.id is not None:
        times = when_served(options.folder, options.id)
        for row in times:
            print(json.dumps(row))
        if not times:
            print(f"{options.id} is in no receipt of {options.folder}: it was never served", file=sys.stderr)
        return 0 if times else PROBLEMS_FOUND
    result = check_receipts(options.folder, options.pack)
    _show(result, options)
    return 0 if result.fine else NO_GO


def audit(options: argparse.Namespace) -> None:
    from sluice.run.audit.drawing import draw_audit
    from sluice.run.audit.result import judge_audit

    opened = _open(options)
    if options.verdicts:
        _show(judge_audit(opened, options.verdicts), options)
    else:
        _show(draw_audit(opened, options.n, options.seed), options)


def gate(options: argparse.Namespace) -> int:
    from sluice.run.gate.gating import gate

    decision = gate(_open(options), fast=options.fast)
    _show(decision, options)
    return 0 if decision.go else NO_GO


def takedown(options: argparse.Namespace) -> None:
    from sluice.run.takedown_command import Request, take_down

    request = Request(options.ids, options.url, options.domain, options.hash)
    _show(take_down(_open(options), request), options)


def demo(options: argparse.Namespace) -> None:
    from sluice.run.demo import demo
    from sluice.run.progress import listener_for

    listener, close = listener_for(sys.stderr)
    try:
        print(demo(options.folder, options.count, options.seed, listener=listener))
    finally:
        close()


def train_encoder(options: argparse.Namespace) -> None:
    from sluice.train.command import train_encoder

    def told(line: str) -> None:
        print(line, file=sys.stderr)

    print(train_encoder(options.out, options.name, options.minutes, options.seed, told))


def _open(options: argparse.Namespace, *, glance: bool = False) -> Run:
    from sluice.run.ledger import Run

    return Run.open(options.run, glance=glance)


def _show(result: Any, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(result.to_json(), indent=2, ensure_ascii=False, default=str))
    else:
        print(result)
