"""One tar that others wrote, scanned by its headers: the manifest's rows of its samples, and what is refused of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import pyarrow as pa

from sluice.errors import SampleFailure, SourceError
from sluice.load.foreign import caption_of, image_suffixes, span, text_suffix
from sluice.media.header import Header, read_header, sniff
from sluice.media.limits import Limits
from sluice.models.tokenizer import CountTokens
from sluice.sources.tar import Member, TarFile, open_tar
from sluice.sources.webdataset import Group, groups
from sluice.table.schema import MANIFEST

Refusal: TypeAlias = tuple[str | None, str, str]  # key (None: the shard itself), class, message

FORMAT: Final = "webdataset"
LARGEST: Final = 2**30  # bytes of a sample: a loader holds it whole
_START: Final = 2**16  # bytes: of nearly all JPEGs the header ends within
_LIMITS: Final = Limits()


@dataclass(frozen=True)
class Asked:
    """What is read of a shard beside its headers."""

    measure: bool = False  # the headers of its images
    count: CountTokens | None = None  # tokens of its captions


@dataclass(frozen=True)
class Scanned:
    """What a shard holds."""

    rows: pa.Table  # MANIFEST; the id is the key, the split empty
    refused: tuple[Refusal, ...]


def scan(uri: str, shard: str, source: str, asked: Asked) -> Scanned:
    """The samples of the tar `uri`, which the manifest calls `shard`; bad data is refused, never raised."""
    rows: list[dict[str, Any]] = []
    refused: list[Refusal] = []
    try:
        with open_tar(uri) as tar:
            found = list(groups(tar))
            times = Counter(group.key for group in found)
            for group in found:
                if times[group.key] > 1:
                    group.failure = group.failure or (
                        "io",
                        f"{uri}: the members of {group.key} do not follow each other, or two samples have this key",
                    )
                try:
                    rows.append(_row(group, tar, asked))
                except SampleFailure as failure:
                    key = None if group.key.startswith("@") else group.key
                    refused.append((key, failure.failure_class, failure.message))
    except SourceError as error:
        return Scanned(MANIFEST.empty_table(), ((None, "io", str(error)),))
    for index, row in enumerate(rows):
        row |= {"source": source, "format": FORMAT, "split": "", "shard": shard, "index": index}
    return Scanned(pa.Table.from_pylist(rows, MANIFEST), tuple(refused))


def _row(group: Group, tar: TarFile, asked: Asked) -> dict[str, Any]:
    """What the manifest says of a sample; SampleFailure where it is none to serve."""
    if group.failure:
        raise SampleFailure(*group.failure)
    offset, size = span(group)
    if size > LARGEST:
        raise SampleFailure("too_large", f"{tar.uri}: {group.key} has {size:,} bytes, the limit is {LARGEST:,}")
    images = [group.members[suffix] for suffix in image_suffixes(group)]
    headers = list(_headers(images, tar)) if asked.measure else []
    text = text_suffix(group)
    row: dict[str, Any] = {
        "id": group.key,
        "key": group.key,
        "offset": offset,
        "size": size,
        "image_offset": images[0].offset if images else None,
        "image_size": images[0].size if images else None,
        "width": headers[0].width if headers else None,
        "height": headers[0].height if headers else None,
        "image_sizes": [{"width": one.width, "height": one.height} for one in headers] if asked.measure else None,
        # whether a `.json` holds captions its header does not say
        "captions": 1 if text else None if "json" in group.members else 0,
        "weight": 1.0,
        "repeats": 1,
    }
    if asked.count:
        caption = caption_of(group, tar)
        row |= {"text_tokens": asked.count([caption])[0] if caption else 0, "captions": 1 if caption else 0}
    return row


def _headers(images: list[Member], tar: TarFile) -> Iterator[Header]:
    for member in images:
        try:
            yield _header(member, tar)
        except SampleFailure as failure:
            message = f"{tar.uri}: member {member.name}: {failure.message}"
            raise SampleFailure(failure.failure_class, message) from failure


def _header(member: Member, tar: TarFile) -> Header:
    """The header of an image, from its first bytes where they tell all of it."""
    if member.size > _LIMITS.bytes:
        raise SampleFailure("too_large", f"{member.size:,} bytes, the limit is {_LIMITS.bytes:,}")
    start = tar.at(member.offset, min(member.size, _START))
    if member.size > _START and _tells(start):
        with suppress(SampleFailure):  # the whole file may say more
            return read_header(start, replace(_LIMITS, ratio=_LIMITS.ratio * member.size / len(start)))
    return read_header(tar.at(member.offset, member.size), _LIMITS)


def _tells(start: bytes) -> bool:
    """Whether an image says at its beginning how it is to be turned: a PNG, a WebP and others may at their end."""
    return sniff(start) in ("jpeg", "gif") or start[12:16] in (b"VP8 ", b"VP8L")
