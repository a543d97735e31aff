"""An embedding service on loopback that speaks as OpenAI's `/v1/embeddings` does: right, wrong, late or cut."""

from __future__ import annotations

import base64
import io
import json
import ssl
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sluice.models.base import Encoder, Pixels
from support.loopback import Loopback, write

Act = Callable[[BaseHTTPRequestHandler, dict[str, Any]], object]
Embed = Callable[[Sequence[Any]], Sequence[Sequence[float]]]


def characters(items: Sequence[Any]) -> list[list[float]]:
    """Four numbers of the characters of a text or a data URL."""
    texts = [item["image"] if isinstance(item, dict) else str(item) for item in items]
    return [[float(len(text) % 97 + 1), float(sum(text.encode()) % 101), 2.0, -1.0] for text in texts]


def served(encoder: Encoder) -> Embed:
    """What a service with `encoder` behind it answers, images being data URLs."""

    def embed(items: Sequence[Any]) -> list[list[float]]:
        images = [str(item).startswith("data:image/") for item in items]
        if any(images):
            assert all(images), "a request holds images or texts"
            return encoder.encode_images([pixels_of(item) for item in items]).tolist()
        return encoder.encode_texts(items).tolist()

    return embed


def pixels_of(url: str) -> Pixels:
    """The image in a data URL."""
    head, _, data = url.partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        pixels: npt.NDArray[np.uint8] = np.asarray(image)
        return pixels


class EmbeddingApi(Loopback):
    """The service. `script` holds what it does to the next requests; after that it answers right, with `embed`."""

    def __init__(self, embed: Embed = characters, secured: ssl.SSLContext | None = None) -> None:
        self.embed = embed
        self.script: list[Act] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        super().__init__(secured)

    def post(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        self.requests.append({"path": handler.path, **body})
        self.headers.append(dict(handler.headers))
        if self.script:
            self.script.pop(0)(handler, body)
        else:
            write(handler, json.dumps(whole(body, self.embed)).encode())


def whole(body: dict[str, Any], embed: Embed = characters) -> dict[str, Any]:
    """An answer of the service's usual shape."""
    rows = [
        {"object": "embedding", "index": at, "embedding": list(vector)}
        for at, vector in enumerate(embed(body["input"]))
    ]
    return {"object": "list", "data": rows, "model": body["model"], "usage": {"prompt_tokens": 1, "total_tokens": 1}}
