"""A pair of towers in ONNX with a JSON of what goes in: the form in which Sluice's own encoder comes.

encoder.json   {"format": "sluice-encoder/1", "name", "revision", "dim", "languages": [...] | null,
                "world": null | "...", "preprocess": {fields of Preprocess},
                "image": {"file": "image.onnx", "input": "pixels", "output": "vectors"},
                "text": {"file": "text.onnx", "input": "tokens", "output": "vectors"},
                "tokenizer": {"type": "hashed-words", ...}
                           | {"type": "tokenizers", "file": "tokenizer.json", "length": 77, "pad": 0}}
image.onnx     float32 (n, 3, height, width) to float32 (n, dim)
text.onnx      int64 (n, length) to float32 (n, dim)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sluice.errors import SluiceError
from sluice.models.base import Identity, Pixels, Preprocess, Vectors, in_batches
from sluice.models.digest import check_hash, content_hash
from sluice.models.extras import optional
from sluice.models.hashed_words import HashedWords, tokens
from sluice.models.preprocess import tensor

FORMAT: Final = "sluice-encoder/1"
_DOCUMENTS: Final = re.compile(r".*\.(md|py)|LICEN[CS]E.*|NOTICE.*|\..*|__.*", re.IGNORECASE)  # not part of the model

Tokens = npt.NDArray[np.int64]
Tokenizer = Callable[[Sequence[str]], Tokens]


def _plain(name: str) -> str:
    if not name or Path(name).name != name:
        raise ValueError("name a file of this folder, without a path")
    return name


_FileName = Annotated[str, AfterValidator(_plain)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Tower(_Strict):
    file: _FileName
    input: str
    output: str


class _HashedWords(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)
    type: Literal["hashed-words"]


class _Tokenizers(_Strict):
    type: Literal["tokenizers"]
    file: _FileName
    length: int = Field(ge=1)
    pad: int = Field(ge=0)


class _Manifest(_Strict):
    format: Literal["sluice-encoder/1"]
    name: str
    revision: str
    dim: int = Field(ge=1)
    languages: tuple[str, ...] | None
    world: str | None
    preprocess: Preprocess
    image: _Tower
    text: _Tower
    tokenizer: Annotated[_HashedWords | _Tokenizers, Field(discriminator="type")]


class _Session(Protocol):
    def run(
        self, output_names: list[str], input_feed: dict[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[np.float32]]: ...


class OnnxPair:
    """An encoder from a folder of the form above."""

    def __init__(
        self,
        folder: Path,
        *,
        hash: str | None = None,
        languages: tuple[str, ...] | None = None,
        device: str = "cpu",
        batch: int = 32,
        threads: int = 1,
    ) -> None:
        manifest = _read(folder)
        files = {file.name: file for file in folder.iterdir() if file.is_file() and not _DOCUMENTS.fullmatch(file.name)}
        # Checked before anything of it is loaded: a file swapped in is never run.
        found = check_hash(content_hash(dict(files)), hash, str(folder))
        self.identity: Final = Identity(
            manifest.name, manifest.revision, found, languages or manifest.languages, manifest.world
        )
        self.preprocess: Final = manifest.preprocess
        self.dim: Final = manifest.dim
        self._batch = batch
        self._towers = manifest.image, manifest.text
        self._image, self._text = (_session(folder / one.file, device, threads) for one in self._towers)
        self._tokens = _tokenizer(folder, manifest.tokenizer)

    def encode_images(self, images: Sequence[Pixels]) -> Vectors:
        """A row an image, of length 1."""
        tower = self._towers[0]

        def run(some: Sequence[Pixels]) -> npt.NDArray[np.float32]:
            return self._image.run([tower.output], {tower.input: tensor(some, self.preprocess)})[0]

        return in_batches(images, self._batch, self.dim, run)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """A row a text, of length 1."""
        tower = self._towers[1]

        def run(some: Sequence[str]) -> npt.NDArray[np.float32]:
            return self._text.run([tower.output], {tower.input: self._tokens(some)})[0]

        return in_batches(texts, self._batch, self.dim, run)


def _read(folder: Path) -> _Manifest:
    file = folder / "encoder.json"
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        return _Manifest.model_validate(fields)
    except FileNotFoundError as error:
        raise SluiceError(f"{folder}: is no model folder: it has no encoder.json") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise SluiceError(f"{file}: {place}: {first['msg']} (the format is {FORMAT})") from error
    except (OSError, ValueError) as error:
        raise SluiceError(f"{file}: cannot be read: {error}") from error


def _session(file: Path, device: str, threads: int) -> _Session:
    runtime = optional("onnxruntime", "an encoder in ONNX", "onnx")
    provider: Any = "CPUExecutionProvider"
    if device.startswith("cuda"):
        provider = ("CUDAExecutionProvider", {"device_id": int(device.partition(":")[2] or 0)})
        if "CUDAExecutionProvider" not in runtime.get_available_providers():
            raise SluiceError(
                f"device {device}: this onnxruntime has no CUDA; pip install onnxruntime-gpu in its place"
            )
    elif device != "cpu":
        raise SluiceError(f"device {device}: an encoder in ONNX runs on cpu or cuda")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Other workers want the cores: a thread that waits must sleep.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A pattern shared among batch sizes would keep the memory of the largest.
    options.enable_mem_pattern = False
    try:
        return runtime.InferenceSession(str(file), options, providers=[provider])
    except (
        Exception
    ) as error:  # onnxruntime raises half a dozen unrelated types, RuntimeError not among all their bases
        raise SluiceError(f"{file}: onnxruntime cannot load it: {error}") from error


def _tokenizer(folder: Path, settings: _HashedWords | _Tokenizers) -> Tokenizer:
    if isinstance(settings, _HashedWords):
        return _hashed_words(folder, settings)
    library = optional("tokenizers", "the tokenizer of this encoder", "onnx")
    file = folder / settings.file
    try:
        tokenizer = library.Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises bare Exception
        raise SluiceError(f"{file}: the package tokenizers cannot load it: {error}") from error
    tokenizer.enable_truncation(settings.length)
    tokenizer.enable_padding(length=settings.length, pad_id=settings.pad)

    return lambda texts: np.array([one.ids for one in tokenizer.encode_batch(list(texts))], np.int64)


def _hashed_words(folder: Path, settings: _HashedWords) -> Tokenizer:
    fields: dict[str, Any] = dict(settings.model_extra or {})
    try:
        HashedWords(**fields)  # refuses a name that it does not know
        chosen = TypeAdapter(HashedWords).validate_python(fields)
    except (TypeError, ValueError) as error:
        raise SluiceError(f"{folder / 'encoder.json'}: tokenizer: {error}") from error
    return lambda texts: tokens(texts, chosen)
