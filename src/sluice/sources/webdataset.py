"""WebDataset shards: members in succession that share a key (the name up to the first dot) are one sample.

Images are taken by ref; `.txt` is a caption, `.json` holds captions, rights and other fields. Whatever is odd about one
member fails its whole sample: a pair with one half missing is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sluice.errors import FailureClass
from sluice.sources.base import JSON, NO_RIGHTS, Item, RawSample, Rights, SourceFile
from sluice.sources.config import WebDatasetConfig
from sluice.sources.fields import Plans, text_of
from sluice.sources.folder import IMAGE_SUFFIXES
from sluice.sources.paths import default_name, key_of, list_files
from sluice.sources.tar import Member, TarFile, members, open_tar
from sluice.sources.texts import SIDECAR_BYTES, Refused, decoded, parsed
from sluice.table.refs import Ref

_NAME: Final = re.compile(r"^((?:.*/)?[^./]+)\.([^/]*)$", re.DOTALL)  # as the webdataset library splits it
_SHARD_METADATA: Final = re.compile(r"__[^/]*__($|/)")  # which the webdataset library passes over too
_CAPTIONS: Final = ("txt", "text", "caption")
_JSON_BYTES: Final = 16 * 2**20
_MOST_MEMBERS: Final = 4096  # of one sample; an attack past that


@dataclass
class Group:
    """The members of one key, and what is wrong with any of them."""

    key: str
    members: dict[str, Member] = field(default_factory=dict[str, Member])  # by suffix
    failure: tuple[FailureClass, str] | None = None


@dataclass(frozen=True)
class WebDatasetSource:
    """Shards in order of their names, samples in order of their members."""

    name: str
    config: WebDatasetConfig
    base: Path

    def files(self) -> list[SourceFile]:
        """The shards."""
        return self._shards()[1]

    def samples(self) -> Iterator[RawSample]:
        """A sample a key; `shard/key` is its name in the source."""
        root, shards = self._shards()
        plans = Plans(self.config.caption_columns)
        for shard in shards:
            prefix = shard_key(shard.uri, root)
            seen: dict[str, int] = {}
            with open_tar(shard.uri) as tar:
                for group in groups(tar):
                    times = seen[group.key] = seen.get(group.key, 0) + 1
                    key = f"{prefix}/{group.key}"
                    if times > 1:
                        key = f"{key}#{times}"
                        group.failure = group.failure or ("io", f"{tar.uri}: the key {group.key} comes back")
                    yield sample_of(group, key, tar, plans)

    def _shards(self) -> tuple[str, list[SourceFile]]:
        return list_files(self.config.path, self.base, (".tar",), "WebDataset shards (.tar)")


def shard_key(uri: str, root: str) -> str:
    """The name of a shard in its source: its path without `.tar`."""
    return key_of(uri, root).removesuffix(".tar")


def groups(tar: TarFile) -> Iterator[Group]:
    """The members of `tar` by key, in order."""
    group: Group | None = None
    for member in members(tar):
        if member.problem is None and _SHARD_METADATA.match(member.name):
            continue
        match = _NAME.match(member.name)
        key, suffix = (match[1].removeprefix("./"), match[2].lower()) if match else (member.name, "")
        if group is None or group.key != key:
            if member.last and group is not None and member.name.startswith("@"):
                # where a shard breaks off no one can tell whether the sample before was whole
                group.failure = group.failure or ("io", f"{tar.uri}: {member.problem}")
            if group is not None:
                yield group
            group = Group(key)
        _add(group, suffix, member, tar.uri, matched=match is not None)
    if group is not None:
        yield group


def _add(group: Group, suffix: str, member: Member, uri: str, matched: bool) -> None:
    problem = member.problem
    if problem is None and not matched:
        problem = "has no extension, so it belongs to no sample"
    if problem is None and suffix in group.members:
        problem = "is there twice"
    if problem is None and len(group.members) >= _MOST_MEMBERS:
        problem = f"is one of more than {_MOST_MEMBERS:,} members of a sample"
    if problem is None:
        group.members[suffix] = member
    elif member.name.startswith("@"):
        group.failure = group.failure or ("io", f"{uri}: {problem}")
    else:
        group.failure = group.failure or ("io", f"{uri}: member {member.name} {problem}")


def sample_of(group: Group, key: str, tar: TarFile, plans: Plans) -> RawSample:
    """The sample that the members of a group make."""
    images = tuple(
        Item("image", "image", None, Ref("tar", tar.uri, member.name, member.offset, member.size))
        for suffix, member in group.members.items()
        if is_image(suffix)
    )
    if group.failure is not None:
        return RawSample(key, images, failure=group.failure)
    try:
        captions, rights, meta = _texts(group, tar, plans)
    except Refused as refused:
        return RawSample(key, images, failure=refused.failure)
    if not images and not captions:
        found = ", ".join(f".{suffix}" for suffix in group.members)
        return RawSample(key, (), rights, meta, ("io", f"{tar.uri}: {group.key} has no image or text, only {found}"))
    return RawSample(key, (*images, *captions), rights, meta)


def is_image(suffix: str) -> bool:
    """Whether a member with this suffix (`jpg`, `left.png`) is an image."""
    return f".{suffix}".endswith(IMAGE_SUFFIXES)


def _texts(group: Group, tar: TarFile, plans: Plans) -> tuple[list[Item], Rights, dict[str, JSON]]:
    captions: list[Item] = []
    rights = NO_RIGHTS
    meta: dict[str, JSON] = {}
    others: list[JSON] = []
    described: list[tuple[tuple[str, ...], tuple[object, ...]]] = []
    for suffix, member in group.members.items():
        kind = suffix.rpartition(".")[2]
        if kind in _CAPTIONS:
            text = _read(tar, member, SIDECAR_BYTES).strip()
            captions += [Item("text", "caption", text)] if text else []
        elif kind == "json":
            value = parsed(_read(tar, member, _JSON_BYTES), f"{tar.uri}: member {member.name}")
            if isinstance(value, dict):
                described.append((tuple(value), tuple(value.values())))
            else:
                meta[suffix] = value
        elif kind == "cls":
            meta["cls"] = text_of(_read(tar, member, SIDECAR_BYTES))
        elif not is_image(suffix):
            others.append(member.name)
    for names, values in described:
        fields = plans.of(names)
        texts = {item.text for item in captions}
        found = fields.captions(values)
        languages = {item.text: item.language for item in found if item.language}
        if languages:
            captions = [Item("text", "caption", item.text, None, languages.get(item.text or "")) for item in captions]
        captions += [item for item in found if (item.text or "").strip() not in texts]  # .txt and .json often agree
        rights = fields.rights(values)
        meta |= fields.meta(values)
    if others:
        meta["other_members"] = others
    return captions, rights, meta


def _read(tar: TarFile, member: Member, most: int) -> str:
    where = f"{tar.uri}: member {member.name}"
    if member.size > most:
        raise Refused("too_large", f"{where}: {member.size:,} bytes, the limit is {most:,}")
    return decoded(tar.at(member.offset, member.size), where)


def open_webdataset(config: WebDatasetConfig, base: Path) -> WebDatasetSource:
    """The WebDataset source that `config` describes."""
    return WebDatasetSource(config.name or default_name(config.path, "webdataset"), config, base)
