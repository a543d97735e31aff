"""What a recipe may say of an encoder: one model a type, told apart by `type`."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator


class EncoderBase(BaseModel):
    """What every type takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hash: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{32}$",
        description="The hash that the model must have; another stops the run. Default: any, recorded.",
    )
    languages: tuple[str, ...] | None = Field(
        default=None,
        description="Languages (BCP 47) that the model knows. Default: what the model's own files state, if anything.",
    )
    batch: int = Field(default=32, ge=1, description="Images or texts at a time.")


class LocalBase(EncoderBase):
    """What every type takes that runs here."""

    threads: int = Field(
        default=1,
        ge=1,
        description="Threads that a model runs on. Those of torch are the whole process's; more workers serve better.",
    )
    device: str = Field(
        default="cpu", pattern=r"^(cpu|mps|cuda(:\d+)?)$", description="`cpu`, `cuda`, `cuda:1`, `mps`."
    )


class BuiltinConfig(LocalBase):
    """The small encoder in the package: it knows the drawn scenes of `sluice demo`, and nothing of photographs."""

    type: Literal["builtin"]


class OnnxConfig(LocalBase):
    """A folder with `encoder.json` and two towers in ONNX."""

    type: Literal["onnx"]
    path: str = Field(description="The folder.")


class HubBase(LocalBase):
    """A model in a local folder, or by its name on the Hugging Face hub."""

    name: str | None = Field(default=None, min_length=1, description="Name of the model or of its architecture.")
    path: str | None = Field(default=None, min_length=1, description="Where the model lies on this machine.")
    download: bool = Field(
        default=False, description="Whether the model may be downloaded. Otherwise nothing is asked of any network."
    )


class TransformersConfig(HubBase):
    """CLIP, SigLIP, SigLIP 2 with a fixed size, and any model of `transformers` with features of images and texts."""

    type: Literal["transformers"]
    revision: str | None = Field(default=None, description="Branch, tag or commit of a model named by `name`.")

    @model_validator(mode="after")
    def _one_place(self) -> TransformersConfig:
        if (self.name is None) == (self.path is None):
            raise ValueError("say either path: (a folder) or name: (on the hub)")
        return self


class OpenClipConfig(HubBase):
    """A model of `open_clip`: a folder with `open_clip_config.json`, or an architecture and its weights."""

    type: Literal["open_clip"]
    pretrained: str | None = Field(
        default=None,
        description="The tag of the weights, as `open_clip` lists them. Beside "
        "`path`, a checkpoint: the tag whose way to prepare images is its own.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> OpenClipConfig:
        if self.name is None and (self.path is None or self.pretrained is not None):
            raise ValueError("say path: (a folder with open_clip_config.json), or name: and path: or pretrained:")
        schema = self.name is not None and self.name.startswith("hf-hub:")
        if schema and (self.path or self.pretrained):
            raise ValueError("a name that begins with hf-hub: brings its own weights: leave path: and pretrained: out")
        if self.name is not None and not schema and self.path is None and self.pretrained is None:
            raise ValueError("say where the weights of name: are: path: (a checkpoint) or pretrained: (a tag)")
        return self


class ServiceConfig(EncoderBase):
    """An embedding service that speaks as OpenAI's `/v1/embeddings` does."""

    type: Literal["http"]
    url: str = Field(pattern="^https?://", description="Base URL, such as `https://host/v1`; `/embeddings` is added.")
    model: str = Field(min_length=1, description="Name of the model, as the service knows it.")
    revision: str = Field(
        default="not stated",
        description="What you know of its version: a service may change its model without a word.",
    )
    key_variable: str | None = Field(
        default=None, description="Environment variable that holds the key. It is never logged or stored."
    )
    dim: int | None = Field(
        default=None, ge=1, description="Numbers in a vector. Default: asked once, with a short text."
    )
    images: Literal["data_url", "object", "modality"] | None = Field(
        default=None,
        description='How images are sent, as PNG in a data URL: as the input itself, as `{"image": ...}` (Jina), or as '
        'the input beside `"modality": "image"` (Infinity). Default: the service takes no images.',
    )
    size: int = Field(default=224, ge=1, description="Side of the square images sent, px: that of the model.")
    fit: Literal["crop", "pad", "stretch"] = Field(default="crop", description="How an image is made square.")
    interpolation: Literal["bilinear", "bicubic", "lanczos"] = Field(default="bicubic", description="How it is scaled.")
    fill: int = Field(default=0, ge=0, le=255, description="Grey of the padding, where `fit` is `pad`.")
    timeout: float = Field(default=60, gt=0, description="Seconds for a whole request, however slowly it drips.")
    tries: int = Field(default=3, ge=1, le=10, description="Tries of a request that failed for a passing reason.")
    longest_wait: float = Field(
        default=120, ge=0, description="Seconds to wait at most before another try; a `Retry-After` beyond it fails."
    )


class PrecomputedConfig(EncoderBase):
    """Vectors that somebody has computed already, looked up by a key."""

    type: Literal["precomputed"]
    path: str = Field(
        description="Parquet files (a path or a glob) with the keys, and with the vectors unless these lie beside."
    )
    key: str = Field(description="Column that holds the key: an id, a URL or a file name.")
    by: str = Field(
        default="key",
        pattern=r"^(id|key|url|file|meta\..+)$",
        description="What of a sample a run looks for under `key`: its `id`, its `key` (its name in its source), its "
        "`url` (where it was published), `file` (its image's name, without folders) or `meta.NAME`, a field that its "
        "source keeps, such as `meta.uid`.",
    )
    image: str | None = Field(
        default=None,
        description="Where vectors of images are: a column, an array of the `.npz` beside each file (DataComp's "
        "`b32_img`), or the end of the name of a `.npy` beside it (`.img.npy`).",
    )
    text: str | None = Field(default=None, description="The same for vectors of texts.")
    name: str = Field(min_length=1, description="The model that made them.")
    revision: str = Field(default="not stated", description="Its version.")

    @model_validator(mode="after")
    def _something(self) -> PrecomputedConfig:
        if self.image is None and self.text is None:
            raise ValueError("say image: or text:, or both: where the vectors are")
        return self


EncoderConfig: TypeAlias = Annotated[
    BuiltinConfig | OnnxConfig | TransformersConfig | OpenClipConfig | ServiceConfig, Field(discriminator="type")
]
"""What encodes."""
VectorsConfig: TypeAlias = Annotated[EncoderConfig | PrecomputedConfig, Field(discriminator="type")]
"""What a run has its vectors from: an encoder, or files of vectors that somebody has computed already."""
