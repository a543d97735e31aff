"""Samples of WebDataset tars that others wrote: where each lies, what its caption is, and reading one.

The members are grouped and judged as the source `webdataset` does it, so what a recipe would fail is refused here too.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from sluice.errors import SampleFailure
from sluice.load.reading import Sample
from sluice.sources.fields import Plans
from sluice.sources.tar import TarBytes, TarFile
from sluice.sources.texts import SIDECAR_BYTES
from sluice.sources.webdataset import Group, groups, is_image, sample_of

TEXTS: Final = ("txt", "text", "caption")
_BLOCK: Final = 512  # of a tar


def span(group: Group) -> tuple[int, int]:
    """The first byte of a sample in its shard, headers included, and its bytes up to the end of the last padding."""
    members = list(group.members.values())
    end = members[-1].offset + members[-1].size
    start = members[0].header
    return start, end + -end % _BLOCK - start


def image_suffixes(group: Group) -> list[str]:
    """The suffixes of the members that are images, as they lie."""
    return [suffix for suffix in group.members if is_image(suffix)]


def text_suffix(group: Group) -> str | None:
    """The suffix of the first member that is a caption by itself."""
    return next((suffix for suffix in group.members if suffix.rpartition(".")[2] in TEXTS), None)


def caption_of(group: Group, tar: TarFile) -> str | None:
    """The caption: that of the first text, else that of the `.json`, by its field's name; None where there is none."""
    suffix = text_suffix(group)
    if suffix is None:
        raw = sample_of(group, group.key, tar, _plans()) if "json" in group.members else None
        return next((item.text for item in raw.items if item.kind == "text"), None) if raw else None
    member = group.members[suffix]
    if member.size > SIDECAR_BYTES:
        raise SampleFailure("too_large", f"{tar.uri}: member {member.name}: a text of {member.size:,} bytes")
    try:
        return tar.at(member.offset, member.size).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SampleFailure("decode", f"{tar.uri}: member {member.name}: not UTF-8 at byte {error.start:,}") from error


def foreign_sample(data: bytes, size: int, shard: str, id: str) -> Sample:
    """The sample `id` from the bytes that its members take in `shard`; its `parts` are by suffix, in lower case."""
    if len(data) < size:
        raise SampleFailure("io", f"{shard}: ends after {len(data)} of the {size} bytes of a sample")
    tar = TarBytes(shard, data)
    found = list(groups(tar))
    if len(found) != 1 or not id_is_of(id, found[0].key):
        raise SampleFailure("io", f"{shard}: {', '.join(one.key for one in found)} lies where {id} should")
    (group,) = found
    if group.failure:
        raise SampleFailure(*group.failure)
    parts = {suffix: tar.at(member.offset, member.size) for suffix, member in group.members.items()}
    images = tuple(parts[suffix] for suffix in image_suffixes(group))
    return Sample(id, images, caption_of(group, tar), parts)


def sample_id(shard: str, key: str) -> str:
    """The id of a sample where keys come back in other shards.

    >>> sample_id("train/00.tar", "a/0001")
    'train/00.tar/a/0001'
    """
    return f"{shard}/{key}"


def id_is_of(id: str, key: str) -> bool:
    """Whether a sample called `id` may have the key.

    >>> id_is_of("a/0001", "a/0001"), id_is_of("00.tar/a/0001", "a/0001"), id_is_of("b/0001", "0001")
    (True, True, False)
    """
    return id == key or (id.endswith(f"/{key}") and id[: -len(key) - 1].lower().endswith(".tar"))


@cache
def _plans() -> Plans:
    return Plans()
