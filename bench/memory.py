"""Peak memory (PSS) of a whole run, all its processes together, on corpora of different sizes.

    python bench/memory.py --corpus SMALL --corpus LARGE

The recipe is that of bench/pipeline.py. What matters is that the figure does not grow with the corpus.
"""

import argparse
import os
import tempfile
from pathlib import Path

from pipeline import RECIPE, sluice, timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, action="append", required=True, help="made by bench/corpus.py; several")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    for corpus in options.corpus:
        count = sum(1 for _ in corpus.rglob("*.jpg"))
        with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
            recipe = Path(folder) / "recipe.yaml"
            recipe.write_text(
                RECIPE.format(run=Path(folder) / "run", corpus=corpus.absolute(), workers=options.workers, sharpness=50)
            )
            peak: list[float] = []
            seconds, _ = timed(sluice(recipe), peak)
        print(f"{count:>10,} images {peak[0]:6.0f} MB at the peak {count / seconds:8,.0f} images/s", flush=True)


if __name__ == "__main__":
    main()
