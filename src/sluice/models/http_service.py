"""An embedding service over HTTP: OpenAI's `/v1/embeddings` for texts, and images as data URLs where it takes them.

Images are made square here, as the model wants them, and sent as PNG: what the service does to their size is then
nothing, and how images are prepared stays part of who the encoder is.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from sluice.errors import SampleFailure, SluiceError
from sluice.models.base import Identity, Pixels, Preprocess, Vectors, in_batches
from sluice.models.config import ServiceConfig
from sluice.models.digest import check_hash, content_hash
from sluice.models.http_post import Poster, poster_to
from sluice.models.preprocess import fitted


class HttpService:
    """An encoder behind an address. Its hash is over what was asked of whom: the weights are out of sight."""

    def __init__(self, config: ServiceConfig, poster: Poster | None = None) -> None:
        self._config = config
        self._post = poster or poster_to(config, "embeddings")
        self.preprocess: Final = Preprocess(
            width=config.size,
            height=config.size,
            fit=config.fit,
            interpolation=config.interpolation,
            mean=(0, 0, 0),
            std=(1, 1, 1),
            fill=(config.fill, config.fill, config.fill),
        )
        stated = config.model_dump(
            include={"url", "model", "revision", "images", "size", "fit", "interpolation", "fill"}
        )
        found = content_hash({"service": json.dumps(stated, sort_keys=True).encode()})
        self.identity: Final = Identity(
            config.model, config.revision, check_hash(found, config.hash, config.url), config.languages
        )
        self._dim = config.dim

    @property
    def dim(self) -> int:
        """Numbers in a vector; where the configuration does not say, a short text is sent to learn it."""
        if self._dim is None:
            self._dim = len(self._ask({"input": ["a"]}, 1)[0])
        return self._dim

    def encode_images(self, images: Sequence[Pixels]) -> Vectors:
        """A row an image, of length 1."""
        if self._config.images is None:
            raise SluiceError(
                f"{self._config.url}: the configuration does not say how this service takes images; say "
                "images: data_url, object or modality"
            )
        return in_batches(images, self._config.batch, self.dim, self._images)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """A row a text, of length 1."""
        return in_batches(texts, self._config.batch, self.dim, lambda some: self._ask({"input": list(some)}, len(some)))

    def _images(self, images: Sequence[Pixels]) -> npt.NDArray[np.float32]:
        urls = [_data_url(fitted(image, self.preprocess)) for image in images]
        fields: dict[str, Any] = {
            "input": [{"image": url} for url in urls] if self._config.images == "object" else urls
        }
        if self._config.images == "modality":
            fields["modality"] = "image"
        return self._ask(fields, len(images))

    def _ask(self, fields: Mapping[str, Any], count: int) -> npt.NDArray[np.float32]:
        body = {"model": self._config.model, "encoding_format": "float", **fields}
        return self._post(body, lambda answer: _vectors(answer, count, self._dim))


def _data_url(image: Pixels) -> str:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _vectors(answer: object, count: int, dim: int | None) -> npt.NDArray[np.float32]:
    """The vectors in the order of the inputs; an answer that is not one vector an input is a failure."""
    rows: object = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise SampleFailure("api", "the answer has no list under 'data'")
    if len(rows) != count:
        raise SampleFailure("api", f"the answer has {len(rows)} vectors for {count} inputs")
    placed: dict[int, list[float]] = {}
    for position, row in enumerate(rows):
        vector: object = row.get("embedding") if isinstance(row, dict) else None
        index: object = row.get("index", position) if isinstance(row, dict) else position
        if not isinstance(vector, list) or not vector or not all(isinstance(x, int | float) for x in vector):
            raise SampleFailure("api", f"the answer's entry {position} has no list of numbers under 'embedding'")
        if not isinstance(index, int) or not 0 <= index < count or index in placed:
            raise SampleFailure("api", f"the answer's entry {position} has the index {index!r}, twice or out of range")
        placed[index] = vector
    lengths = {len(vector) for vector in placed.values()}
    if len(lengths) > 1 or (dim is not None and lengths != {dim}):
        raise SampleFailure("api", f"the answer has vectors of {sorted(lengths)} numbers, not of {dim or 'one length'}")
    return np.array([placed[index] for index in range(count)], np.float32)
