"""LLaVA: a JSON file a split, one list of `{id, image, conversations}`, made from the documents of the shards.

`image` is below the folder `llava/`; it is a list where a sample has several images, and absent where it has none. The
first turn of a sample holds as many `<image>` as it has images, before its text where its own turns hold none.

| texts of the sample | become |
| --- | --- |
| `human`, `gpt`, `system` | turns, verbatim |
| `question`, `answer` | `human`, `gpt`; of several answers to one question the one with the greatest weight |
| captions alone | a `human` turn that is nothing but the images, and the best caption as `gpt` |
| running text | turns of `gpt`, after a `human` turn that is nothing but the images |

All other texts, the rights and the measured values are in the documents beside the images.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from sluice.pack.documents import documents
from sluice.pack.listed import IndexFile, Listed, by_split

PLACEHOLDER: Final = "<image>"
_SPEAKERS: Final = {"question": "human", "answer": "gpt", "text": "gpt"}
_JSON: Final = json.JSONEncoder(ensure_ascii=False)


def index(folder: Path, shards: Sequence[Listed]) -> Iterator[IndexFile]:
    """`llava/<split>.json`: the entries of a split, one a line."""
    for split, listed in by_split(shards):
        yield IndexFile(f"llava/{split}.json", _pieces(folder, listed))


def _pieces(folder: Path, shards: Sequence[Listed]) -> Iterator[bytes]:
    before = b"[\n"
    for shard in shards:
        place = shard.name.partition("/")[2].removesuffix(".jsonl")
        for document in documents(folder / shard.name):
            yield before + _JSON.encode(entry(document, place)).encode()
            before = b",\n"
    yield b"\n]\n" if before != b"[\n" else b"[]\n"


def entry(document: dict[str, Any], folder: str) -> dict[str, Any]:
    """The entry of a sample whose images lie in `folder`.

    >>> entry({"id": "7", "images": [{"file": "7.jpg"}], "captions": [{"text": "a bus"}], "texts": []}, "train/a")
    {'id': '7', 'image': 'train/a/7.jpg', 'conversations': [{'from': 'human', 'value': '<image>'}, {'from': 'gpt', 'value': 'a bus'}]}
    """  # noqa: E501
    files = [f"{folder}/{image['file']}" for image in document["images"]]
    images = {"image": files[0] if len(files) == 1 else files} if files else {}
    return {"id": document["id"], **images, "conversations": _turns(document)}


def _turns(document: dict[str, Any]) -> list[dict[str, str]]:
    said: list[tuple[str, str]] = [
        (_SPEAKERS.get(text["role"]) or text["role"], text["text"])
        for role, group in groupby(document["texts"], key=lambda text: text["role"])
        for text in _said(role, list(group))
    ]
    if not said:
        said = [("gpt", caption["text"]) for caption in document["captions"][:1]]
    if not any(PLACEHOLDER in text for _, text in said):
        said = _with_images(said, len(document["images"]))
    return [{"from": speaker, "value": text} for speaker, text in said]


def _said(role: str, texts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of answers to one question the one with the greatest weight, the first of equals; else all."""
    return [max(texts, key=lambda text: text["weight"] or 0.0)] if role == "answer" else texts


def _with_images(said: list[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    marks = "\n".join([PLACEHOLDER] * count)
    first = next((place for place, (speaker, _) in enumerate(said) if speaker != "system"), len(said))
    if first < len(said) and said[first][0] == "human":
        asked = f"{marks}\n{said[first][1]}" if count else said[first][1]
        return [*said[:first], ("human", asked), *said[first + 1 :]]
    return [*said[:first], ("human", marks), *said[first:]]
