"""The corpus of the speed benches: photo-like JPEGs of 30-80 KB, 256-1024 px, with captions beside them.

    python bench/corpus.py FOLDER --count 20000

Few distinct pictures are drawn; each file is one of them at another quality, with other noise, so that making the
corpus takes a minute and no two files are equal.
"""

import argparse
import io
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

WORDS = "red green blue small large dog house tree river boat street child market table window bird hill road".split()


def draw(seed: int) -> bytes:
    """One JPEG of 30 to 80 KB."""
    rng = np.random.default_rng(seed)
    width, height = (int(side) for side in rng.integers(320, 1025, 2))
    cells = rng.integers(4, 24, 2)
    low = Image.fromarray(rng.integers(0, 256, (*cells, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)
    grain = Image.fromarray(rng.integers(0, 256, (height // 2, width // 2), dtype=np.uint8)).resize((width, height))
    image = Image.blend(low, grain.convert("RGB"), 0.08)
    quality, target = 85, int(rng.integers(32_000, 76_000))
    for _ in range(4):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        if 30_000 <= buffer.tell() <= 80_000:
            break
        quality = max(5, min(96, round(quality * (target / buffer.tell()) ** 0.7)))
    return buffer.getvalue()


def write(folder: str, first: int, last: int) -> int:
    """Files `first` to `last`; returns their bytes."""
    size = 0
    for number in range(first, last):
        data = draw(number)
        rng = np.random.default_rng(number + 10**9)
        name = os.path.join(folder, f"{number // 1000:04d}", f"{number:07d}")
        Path(f"{name}.jpg").write_bytes(data)
        Path(f"{name}.txt").write_text("a " + " ".join(rng.choice(WORDS, 10)) + f" number {number}")
        size += len(data)
    return size


def make(folder: Path, count: int) -> None:
    """Write the corpus unless it is there."""
    done = folder / f".done-{count}"
    if done.exists():
        return
    for thousand in range((count + 999) // 1000):
        (folder / f"{thousand:04d}").mkdir(parents=True, exist_ok=True)
    step = 250
    with ProcessPoolExecutor() as pool:
        starts = range(0, count, step)
        ends = [min(count, start + step) for start in starts]
        size = sum(pool.map(write, [str(folder)] * len(ends), starts, ends))
    done.touch()
    print(f"{count:,} files, {size / count / 1000:.1f} KB on average")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    options = parser.parse_args()
    make(options.folder, options.count)
