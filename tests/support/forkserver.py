"""Run as a program: has everything imported, and forks a process for each `sluice` command it is told.

A command then starts in milliseconds, and is as real to kill as any: its workers are processes of their own. A line
of JSON comes in, a line goes out. `crash_at` ends the process by SIGKILL just before its n-th step on the disk (a
rename or a removal); `inline` runs the tasks in the process itself, so that all steps are counted. The report, which
starts workers of its own and is drawn anew where it is missing, is only written when `report` asks for it.
`env` is added to the environment.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any


def _preload() -> None:
    import duckdb  # noqa: F401
    import onnxruntime  # noqa: F401
    import pyarrow.compute
    import pyarrow.dataset
    import pyarrow.parquet  # noqa: F401

    import sluice.cli
    import sluice.measures.image
    import sluice.measures.language
    import sluice.measures.rights
    import sluice.measures.text
    import sluice.report.write
    import sluice.run.conductor
    import sluice.run.curve
    import sluice.run.demo
    import sluice.run.plan
    import sluice.run.status
    import sluice.run.takedown_command
    import sluice.run.verifying
    import sluice.run.what_if
    import sluice.run.why  # noqa: F401


def _crash_at(step: int, count_file: str | None) -> None:
    taken = 0
    replace, unlink = Path.replace, Path.unlink

    def counted(do: Any) -> Any:
        def perform(self: Path, *arguments: Any, **options: Any) -> Any:
            nonlocal taken
            if do is replace or self.exists():
                taken += 1
                if count_file:
                    Path(count_file).write_text(str(taken))
                if taken == step:
                    os.kill(os.getpid(), signal.SIGKILL)
            return do(self, *arguments, **options)

        return perform

    Path.replace, Path.unlink = counted(replace), counted(unlink)  # type: ignore[method-assign]


def _child(order: dict[str, Any]) -> None:
    os.setpgid(0, 0)
    for stream, number in (("out", 1), ("err", 2)):
        target = os.open(order[stream], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(target, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(order["cwd"])
    os.environ.update(order.get("env", {}))
    code = 1
    try:
        import sluice.run.conductor as conductor

        if not order.get("report"):
            conductor.refresh_report = lambda file, layout: False  # type: ignore[assignment]
        if order.get("inline"):
            from support.inline import InlineEngine

            conductor.make_engine = lambda file: InlineEngine(order.get("shuffle"))  # type: ignore[assignment,return-value]
            conductor.make_model_engine = lambda file, **_: InlineEngine()  # type: ignore[assignment,return-value]
        if "crash_at" in order:
            _crash_at(order["crash_at"], order.get("count"))
        from sluice.cli import main

        main(order["argv"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    _preload()
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            done, status = os.waitpid(order["wait"], 0 if order["block"] else os.WNOHANG)
            answer: Any = os.waitstatus_to_exitcode(status) if done else None
        else:
            answer = os.fork()
            if answer == 0:
                _child(order)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
