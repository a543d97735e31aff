"""A process that draws its share of a world: `python -m sluice.synth.worker FOLDER COUNT SEED WORKER WORKERS MASKS`.

It draws every WORKERS-th sample, from WORKER on, and writes what is known of them to `FOLDER/.parts/WORKER.jsonl`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from sluice.synth.draw import draw
from sluice.synth.plan import PARTS, plan


def main(arguments: list[str]) -> int:
    """Draw one worker's share."""
    folder = Path(arguments[0])
    count, seed, worker, workers, masks = (int(argument) for argument in arguments[1:])
    parts = plan(count, seed)
    with (folder / PARTS / f"{worker}.jsonl").open("w", encoding="utf-8") as known:
        for part in parts[worker::workers]:
            drawn = draw(part, parts, seed, bool(masks))
            (folder / part.key).write_bytes(drawn.data)
            if drawn.mask is not None:
                drawn.mask.save(folder / "masks" / f"{part.index:06d}.png", compress_level=1)
            line = {"row": drawn.row, "questions": drawn.questions, "truth": drawn.truth}
            known.write(json.dumps(line, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
