"""A folder of tars of tiny JPEGs with captions, as large as asked, with planted duplicates, flaws and broken files.

    python bench/tars.py FOLDER --samples 1000000

What is in a tar depends on its number alone: a larger corpus begins with the smaller one, and two cores make it
faster, not different. Of 1,000 samples 10 repeat the bytes of another, 10 are another encoding of another, 5 are
dark, 3 are cut off and 2 are no image at all.
"""

import argparse
import io
import tarfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg

A_TAR = 10_000
WORDS = "red green blue small large dog house tree river boat street child market table window bird hill road".split()
_SIDES = (32, 40, 48, 64)


@dataclass(frozen=True)
class Planted:
    """How many of each kind so many samples hold."""

    same_bytes: int
    near: int
    dark: int
    broken: int

    @staticmethod
    def among(samples: int) -> "Planted":
        kinds = [_kind(number) for number in range(min(samples, 1_000))]
        thousands, rest = divmod(samples, 1_000)
        whole = {kind: kinds.count(kind) * thousands for kind in set(kinds)}
        for number in range(rest):
            whole[_kind(number)] += 1
        broken = whole.get("cut", 0) + whole.get("text", 0)
        return Planted(whole.get("same", 0), whole.get("near", 0), whole.get("dark", 0), broken)


def _kind(number: int) -> str:
    """What is planted at a place: duplicates are of the sample before."""
    place = number % 1_000
    if place % 100 == 1:
        return "same"
    if place % 100 == 51:
        return "near"
    if place % 200 == 30:
        return "dark"
    if place in (140, 440, 740):
        return "cut"
    return "text" if place in (240, 840) else "plain"


def _pixels(rng: np.random.Generator, dark: bool) -> np.ndarray:
    """A picture of few large patches with a little grain: its hash is its own, its file small."""
    height, width = (_SIDES[side] for side in rng.integers(0, len(_SIDES), 2))
    cells = rng.integers(0, 25 if dark else 256, (8, 8, 3), dtype=np.uint8)
    down, across = np.arange(height) * 8 // height, np.arange(width) * 8 // width
    grain = rng.integers(0, 8, (height, width, 1), dtype=np.uint8)
    return np.ascontiguousarray(np.minimum(cells[down][:, across], 247) + grain)


def samples_of(first: int, count: int) -> Iterator[tuple[str, bytes, str]]:
    """Key, image bytes and caption of the samples of a tar."""
    rng = np.random.default_rng(first)
    pixels, data = _pixels(rng, False), b""
    for number in range(first, first + count):
        kind = _kind(number)
        if kind == "near":
            data = simplejpeg.encode_jpeg(pixels, quality=80)
        elif kind != "same":
            pixels = _pixels(rng, kind == "dark")
            data = simplejpeg.encode_jpeg(pixels, quality=int(rng.integers(20, 75)))
        written = data[: len(data) // 2] if kind == "cut" else b"this is no image" if kind == "text" else data
        words = rng.integers(0, len(WORDS), 8)
        yield f"{number:09d}", written, f"a {' '.join(WORDS[word] for word in words)} number {number}"


def write_tar(folder: str, first: int, count: int) -> int:
    """One tar; the bytes of its images."""
    path = Path(folder) / f"part-{first // A_TAR:05d}.tar"
    size = 0
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, data, caption in samples_of(first, count):
            for suffix, content in (("jpg", data), ("txt", caption.encode())):
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            size += len(data)
    return size


def make(folder: Path, samples: int) -> None:
    """Write the corpus unless it is there."""
    done = folder / f".done-{samples}"
    if done.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, samples, A_TAR)
    counts = [min(A_TAR, samples - start) for start in starts]
    with ProcessPoolExecutor() as pool:
        size = sum(pool.map(write_tar, [str(folder)] * len(starts), starts, counts))
    done.touch()
    print(f"{samples:,} samples in {len(starts)} tars, {size / samples:,.0f} bytes an image", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--samples", type=int, default=50_000)
    options = parser.parse_args()
    make(options.folder, options.samples)
