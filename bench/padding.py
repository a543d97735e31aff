"""Padding waste of the loader's ways to batch, over lengths as four kinds of training data have them.

    python bench/padding.py

Prints a Markdown table: the share of all tokens that is padding, and the seconds to plan a window of 65,536 samples.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from sluice.load.global_batches import ByTokens, InSequences, plan_window
from sluice.load.image_tokens import AnyRes, Given, Native
from sluice.load.padding import padding_waste

WINDOW = 4096


def corpora(count: int, seed: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """Token lengths of `count` samples each: log-normal texts, and images of log-normal sizes under a model's rule."""
    drawn = np.random.default_rng(seed)
    captions = np.minimum(drawn.lognormal(np.log(60), 1.2, count), 4000).astype(np.int64) + 1
    chats = np.minimum(drawn.lognormal(np.log(200), 0.8, count), 3000).astype(np.int64) + 1
    area, shape = drawn.lognormal(np.log(600_000), 0.9, count), drawn.lognormal(0.2, 0.35, count)
    widths, heights = np.sqrt(area * shape).astype(np.int64), np.sqrt(area / shape).astype(np.int64)
    budgets = np.clip(drawn.lognormal(np.log(180), 0.6, count), 64, 400).astype(np.int64)
    mixed = np.clip(drawn.lognormal(np.log(350), 0.7, count), 64, 1280) * (drawn.random(count) < 0.9)
    yield "captions, images of 64 to 1,280 tokens, one text in ten alone", captions + mixed.astype(np.int64)
    yield "captions, native resolution (Qwen2-VL)", captions + Native().count(widths, heights)
    yield "captions, 64 to 400 tokens of their own an image", captions + Given().count(widths, heights, budgets)
    yield "conversations, AnyRes (LLaVA-NeXT)", chats + AnyRes().count(widths, heights)
    yield "conversations, 576 tokens an image (LLaVA-1.5)", chats + 576


def in_order(lengths: np.ndarray, size: int) -> float:
    """Padding of batches of `size` samples as they come, each filled up to its longest."""
    starts = range(0, len(lengths), size)
    return padding_waste([np.arange(at, min(at + size, len(lengths))).reshape(-1, 1) for at in starts], lengths)


def planned(lengths: np.ndarray, settings: ByTokens | InSequences) -> float:
    """Padding of the same samples planned by windows; what is too long for a batch is left out of both counts."""
    windows = [lengths[at : at + WINDOW] for at in range(0, len(lengths), WINDOW)]
    width = settings.tokens if isinstance(settings, InSequences) else None
    wastes = [
        padding_waste([batch.sequences for batch in plan_window(window, settings, 1).batches], window, width)
        for window in windows
    ]
    return float(np.mean(wastes))


def main() -> None:
    ways = [ByTokens(16_384), ByTokens(65_536), InSequences(4096, 16), InSequences(8192, 8)]
    names = ["16 in order", "64 in order", "buckets, 16k", "buckets, 64k", "packed, 4,096", "packed, 8,192"]
    print(f"| lengths | median | {' | '.join(names)} |\n| --- |{' ---: |' * 7}")
    for name, lengths in corpora(4 * WINDOW):
        shares = [in_order(lengths, 16), in_order(lengths, 64), *(planned(lengths, way) for way in ways)]
        print(f"| {name} | {np.median(lengths):.0f} | {' | '.join(f'{share:.1%}' for share in shares)} |")
    lengths = next(corpora(65_536))[1]
    print()
    for way in (ByTokens(16_384), InSequences(8192, 8)):
        seconds = min(_seconds(lengths, way) for _ in range(5))
        print(f"{way}: {seconds:.3f} s for {len(lengths):,} samples")


def _seconds(lengths: np.ndarray, way: ByTokens | InSequences) -> float:
    started = time.process_time()
    plan_window(lengths, way, 1)
    return time.process_time() - started


if __name__ == "__main__":
    main()
