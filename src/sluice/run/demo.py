"""`demo`: a world whose truth is known, the default recipe on it, and an honest count of what was caught."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sluice.run.conductor import run
from sluice.run.events import Listener
from sluice.run.ledger import Run
from sluice.run.recipe import load_recipe
from sluice.run.template import QUALITY, recipe_text
from sluice.synth.generate import generate
from sluice.synth.score import score
from sluice.table.commit import write_bytes
from sluice.table.read import read_table

_UNIT: Final = 256  # samples: 2,048 at a time would leave all but one core idle here
_ALIGNED: Final = 0.515  # cosine of the built-in encoder, chosen on another world: docs/encoder.md
_SOURCE: Final = {"type": "table", "path": "world/captions.jsonl", "name": "world"}


def demo(folder: Path, count: int, seed: int, *, listener: Listener | None = None) -> str:
    """Draw `count` samples into `folder`, run the default recipe, and compare the verdicts with the truth."""
    world = generate(folder / "world", count, seed)
    recipe = folder / "recipe.yaml"
    quality = QUALITY.format(world="the drawn scenes of this demo, and nothing else", threshold=_ALIGNED)
    write_bytes(recipe, recipe_text("demo", [_SOURCE], rights=True, unit=_UNIT, quality=quality).encode())
    finished = Run.open(run(load_recipe(recipe), listener=listener))
    truth = read_table(world.folder / "truth.parquet")
    result = score(truth, finished.samples())
    rejected = finished.samples("rejected").column("key")
    example = Path(rejected[0].as_py()).name if len(rejected) else "NAME"
    root = finished.layout.root
    return "\n".join(
        [
            result.text(),
            "",
            f"report     {finished.layout.report}",
            f"shards     {finished.layout.final}",
            f"why        sluice why {root} {example}",
            f"what if    sluice what-if {root} --set 'blurry: sharpness < 150'",
            f"the curve  sluice curve {root} --column sharpness",
        ]
    )
