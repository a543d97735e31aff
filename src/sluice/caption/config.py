"""What a recipe may say of a captioner: one kind of model a type, told apart by `type`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sluice.caption.base import CaptionKind

_OWN_FIELDS: Final = frozenset({"model", "messages", "stream", "n", "temperature", "seed", "response_format"})


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptConfig(_Section):
    """What is asked of a model. Fields of the sample stand in braces: `{alt_text}`."""

    name: str = Field(min_length=1, description="Its name, recorded with every caption.")
    version: str = Field(default="1", min_length=1, description="Its version: count it up when the text changes.")
    text: str = Field(min_length=1, description="What the model is asked.")
    system: str | None = Field(default=None, description="What the model is told before.")


class Limits(_Section):
    """How fast a service is asked, and how patiently."""

    concurrency: int = Field(default=8, ge=1, le=256, description="Requests in flight at a time.")
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="Tokens, in and out, that are sent for within a minute. Default: no limit."
    )
    timeout: float = Field(default=60, gt=0, description="Seconds for a whole request, however slowly it drips.")
    tries: int = Field(default=3, ge=1, le=3, description="Tries of a request that failed for a passing reason.")
    longest_wait: float = Field(
        default=120, ge=0, description="Seconds to wait at most before another try; a `Retry-After` beyond it fails."
    )


class Budget(_Section):
    """Where a captioner stops. It counts over all processes and restarts of a run."""

    money: float | None = Field(default=None, gt=0, description="In the currency of `price`.")
    tokens: int | None = Field(default=None, gt=0, description="Tokens, in and out.")
    requests: int | None = Field(default=None, gt=0, description="Requests, tries counted singly.")


class Price(_Section):
    """What a service charges."""

    input: float = Field(ge=0, description="For a million tokens in.")
    output: float = Field(ge=0, description="For a million tokens out.")
    request: float = Field(default=0, ge=0, description="For a request.")
    currency: str = Field(default="USD", min_length=1, description="Of all amounts.")

    def of(self, tokens_in: int, tokens_out: int, requests: int = 1) -> float:
        """The bill.

        >>> Price(input=0.5, output=2.0).of(1000, 100)
        0.0007
        """
        return round((tokens_in * self.input + tokens_out * self.output) / 1e6 + requests * self.request, 12)


class ServiceBase(_Section):
    """How a chat service is asked: for captions, and for translations."""

    url: str = Field(
        pattern="^https?://", description="Base URL, such as `https://host/v1`; `/chat/completions` is added."
    )
    model: str = Field(min_length=1, description="Name of the model, as the service knows it.")
    revision: str = Field(
        default="not stated",
        description="What you know of its version: a service may change its model without a word.",
    )
    key_variable: str | None = Field(
        default=None, description="Environment variable that holds the key. It is never logged or stored."
    )
    temperature: float | None = Field(default=0, ge=0, le=2, description="0: as nearly the same each time as it can.")
    seed: int | None = Field(default=0, description="Sent along; not every service heeds it. `null`: not sent.")
    max_tokens: int = Field(default=400, ge=1, description="Tokens of an answer; one that reaches them is `cut`.")
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", description="What the service calls that number."
    )
    image_tokens: int = Field(
        default=1500, ge=0, description="Tokens set aside for an image until the service's own counts are known."
    )
    extra: dict[str, Any] = Field(
        default_factory=dict, description="More fields of the request, as the service documents them."
    )
    limits: Limits = Field(default_factory=Limits, description="How fast and how patiently it is asked.")
    budget: Budget = Field(default_factory=Budget, description="Where it stops.")
    price: Price | None = Field(default=None, description="What it charges. Default: costs are not known.")

    @model_validator(mode="after")
    def _complete(self) -> ServiceBase:
        if self.budget.money is not None and self.price is None:
            raise ValueError("budget: money: needs price: to count by")
        if taken := sorted(_OWN_FIELDS.union({self.max_tokens_field}) & self.extra.keys()):
            raise ValueError(f"extra: cannot set {', '.join(taken)}: these have options of their own or are fixed")
        return self


class CaptionerBase(_Section):
    """What every type takes."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="What it is called; part of folder names.")
    kind: CaptionKind = Field(default="short", description="What it makes: `short`, `dense`, `ocr`, `grounded`, `qa`.")


class ChatConfig(ServiceBase, CaptionerBase):
    """A service that speaks as OpenAI's `/v1/chat/completions` does and takes images."""

    type: Literal["chat"]
    prompt: PromptConfig | None = Field(default=None, description="What is asked. Default: the one of the kind.")
    max_side: int = Field(
        default=1024, ge=16, description="Longer side at most of an image sent, px; a larger one is scaled."
    )
    response_format: Literal["none", "json_object", "json_schema"] = Field(
        default="none", description="How the service is told to answer in JSON (`grounded`, `qa`), if it can be."
    )


class TransformersConfig(CaptionerBase):
    """A model of `transformers` that makes texts from images: BLIP, BLIP-2, Florence-2, Qwen-VL, LLaVA and others."""

    type: Literal["transformers"]
    path: str | None = Field(default=None, min_length=1, description="Folder of the model.")
    model: str | None = Field(default=None, min_length=1, description="Its name on the hub, instead.")
    revision: str | None = Field(default=None, description="Branch, tag or commit of a model named by `model`.")
    download: bool = Field(
        default=False, description="Whether the model may be downloaded. Otherwise nothing is asked of any network."
    )
    hash: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{32}$",
        description="The hash that the model must have; another stops the run. Default: any, recorded.",
    )
    prompt: PromptConfig | None = Field(
        default=None, description="What is asked. Default: the one of the kind, as the model takes it."
    )
    temperature: float = Field(default=0, ge=0, le=2, description="0: the likeliest token each time.")
    seed: int = Field(default=0, description="Of what is drawn where `temperature` is above 0.")
    beams: int = Field(default=1, ge=1, description="Beams of the search.")
    max_tokens: int = Field(default=256, ge=1, description="Tokens of a caption; one that reaches them is `cut`.")
    max_side: int = Field(
        default=1024, ge=16, description="Longer side at most of an image that the model is given, px."
    )
    batch: int = Field(default=8, ge=1, description="Images at a time; halved where memory runs out.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(default="float32", description="Of the weights.")
    threads: int = Field(default=1, ge=1, description="Threads that the model runs on, where it runs on the processor.")
    device: str = Field(
        default="cpu", pattern=r"^(cpu|mps|cuda(:\d+)?)$", description="`cpu`, `cuda`, `cuda:1`, `mps`."
    )

    @model_validator(mode="after")
    def _one_place(self) -> TransformersConfig:
        if (self.model is None) == (self.path is None):
            raise ValueError("say either path: (a folder) or model: (a name on the hub)")
        return self


class TemplateConfig(CaptionerBase):
    """A sentence with gaps that the sample's own fields fill."""

    type: Literal["template"]
    template: str = Field(
        min_length=1, description="`A photo of {product}[ in {color}].` What stands in brackets goes with its field."
    )
    version: str = Field(default="1", min_length=1, description="Its version, recorded with every caption.")


class PluginConfig(CaptionerBase):
    """A function of yours, registered with `sluice.caption.captioner`."""

    type: Literal["plugin"]
    function: str = Field(min_length=1, description="The name it is registered under.")
    params: dict[str, Any] = Field(default_factory=dict, description="Its keyword arguments.")
    batch: int = Field(default=32, ge=1, description="Requests it is given at a time.")


CaptionerConfig: TypeAlias = Annotated[
    ChatConfig | TransformersConfig | TemplateConfig | PluginConfig, Field(discriminator="type")
]
