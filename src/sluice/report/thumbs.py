"""Small pictures of samples for the report, made in workers: a medium that kills its decoder costs one tile."""

from __future__ import annotations

import io
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sluice.engine import Engine, LocalEngine, Task, WorkerContext
from sluice.errors import SampleFailure
from sluice.media.decode import decode, shrink
from sluice.media.header import read_header
from sluice.media.limits import Limits
from sluice.table.cores import available_cores
from sluice.table.refs import Ref, RefReader

MOST_BYTES: Final = 18_000  # of one picture; 150 of them in base64 are 3.6 MB
_TRIES: Final = ((240, 70), (208, 60), (176, 45), (144, 30), (96, 20))  # longer side in px, WebP quality
_METHOD: Final = 2  # of WebP: 25% less time than 4, the default, for 5% more bytes
_SECONDS: Final = 10.0  # a picture that takes longer than this is not worth waiting for
_SHARE: Final = 24  # pictures a task
_HEAVY: Final = 32_000_000  # encoded bytes: so many are worth the start of a further worker
_USUAL: Final = 300_000  # bytes of an image whose size is not known
_MOST_WORKERS: Final = 4
_DRAW: Final = f"{__name__}:draw"


@dataclass(frozen=True)
class Picture:
    """A WebP picture, its size in px and that of the image it shows."""

    data: bytes
    width: int
    height: int
    full_width: int
    full_height: int


@dataclass(frozen=True)
class NoPicture:
    """Why there is none."""

    failure_class: str
    message: str


@contextmanager
def easel(limits: Limits) -> Generator[Engine]:
    """A worker that gets ready to draw while this process does something else: few reports need more than one."""
    with _engine(1, limits) as engine:
        engine.warm(_DRAW)
        yield engine


def pictures(refs: Sequence[Ref], limits: Limits, engine: Engine | None = None) -> list[Picture | NoPicture]:
    """A picture of the image behind each ref, in order; drawn by `engine`, unless there is more to read than it can."""
    if not refs:
        return []
    heavy = sum(ref.size or _USUAL for ref in refs) // _HEAVY
    workers = max(1, min(1 + heavy, _MOST_WORKERS, available_cores()))
    if engine is None or workers > 1:
        with _engine(workers, limits) as own:
            return _pictures(refs, limits, own)
    return _pictures(refs, limits, engine)


def _engine(workers: int, limits: Limits) -> LocalEngine:
    return LocalEngine(workers, seconds=min(limits.seconds, _SECONDS), memory=limits.memory)


def _pictures(refs: Sequence[Ref], limits: Limits, engine: Engine) -> list[Picture | NoPicture]:
    found: dict[int, Picture | NoPicture] = {}
    order = sorted(range(len(refs)), key=lambda at: (refs[at].container, refs[at].uri, refs[at].offset or 0))
    shares = [order[start : start + _SHARE] for start in range(0, len(order), _SHARE)]
    tasks = [Task(number, tuple(refs[at] for at in share)) for number, share in enumerate(shares)]
    for outcome in engine.run(_DRAW, limits, tasks):
        found |= dict(zip(shares[outcome.number], outcome.result, strict=True))
    return [found[at] for at in range(len(refs))]


def draw(limits: Limits, refs: Sequence[Ref], context: WorkerContext) -> list[Picture | NoPicture]:
    """The pictures of one task. Runs in a worker."""
    with RefReader(limits.bytes) as reader:
        drawn: list[Picture | NoPicture] = []
        for place, ref in enumerate(refs):
            context.journal.mark(place)
            drawn.append(_one(reader, ref, limits, context.poison, place))
        context.journal.clear()
    return drawn


def _one(
    reader: RefReader, ref: Ref, limits: Limits, poison: Mapping[int, tuple[str, str]], place: int
) -> Picture | NoPicture:
    if place in poison:
        return NoPicture(*poison[place])
    try:
        data = reader.read(ref)
        header = read_header(data, limits)
        pixels = shrink(decode(data, header, _TRIES[0][0], "rgb", limits), _TRIES[0][0])
    except SampleFailure as failure:
        return NoPicture(failure.failure_class, failure.message)
    from PIL import Image

    whole = Image.fromarray(pixels)
    encoded, size = b"", whole.size
    for side, quality in _TRIES:
        image = whole.copy()
        image.thumbnail((side, side))
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=quality, method=_METHOD)
        encoded, size = buffer.getvalue(), image.size
        if len(encoded) <= MOST_BYTES:
            break
    return Picture(encoded, *size, header.width, header.height)
