from __future__ import annotations

from pathlib import Path

import pytest

from pack.making import pair
from pack.packing import pack
from sluice.pack.base import PackText
from sluice.table.refs import RefReader


@pytest.fixture(scope="session")
def packs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two packs in both formats: 22 samples in shards of 5, and 9 in shards of 4. Read only: copy one to change it."""
    made: list[Path] = []
    with RefReader(max_bytes=2**27) as reader:
        for name, seeds, size in (("broad", range(22), 5), ("best", range(100, 109), 4)):
            images = tmp_path_factory.mktemp(f"{name}-images")
            final = tmp_path_factory.mktemp(name)
            pack(final, [pair(images, seed) for seed in seeds], reader.read, max_samples=size)
            made.append(final)
    return made[0], made[1]


@pytest.fixture(scope="session")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 samples with counted tokens, in shards of 7. Read only: copy it to change it."""
    images, final = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("long")
    made = [
        pair(images, seed, texts=(PackText(1, "caption", f"a bus {seed}", "en", tokens=5 + seed * 7 % 20),))
        for seed in range(90)
    ]
    with RefReader(max_bytes=2**27) as reader:
        pack(final, made, reader.read, max_samples=7)
    return final
