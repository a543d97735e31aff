"""The recipe: the one YAML file that says a whole run, as models that check it and document it.

Every field has a description: the reference in the docs and the JSON Schema for editors are made from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from sluice.errors import RecipeError
from sluice.load.augment.steps import Step
from sluice.media.limits import Limits
from sluice.run.balance_config import BalanceConfig
from sluice.run.captions_config import CaptionsConfig
from sluice.run.engine_config import EngineConfig, EngineField
from sluice.run.filter_config import FilterConfig
from sluice.run.gate_config import GateConfig
from sluice.run.quality_config import QualityConfig
from sluice.run.redact_config import RedactConfig
from sluice.run.stored import checked, is_url, layout_of
from sluice.run.yaml_lines import Place, dotted, line_of, load_with_lines, read_text
from sluice.sources.config import SourceConfig
from sluice.table.layout import Layout
from sluice.table.remote import masked

_LARGEST_OFFSETS = 4_000_000_000  # bytes: offsets of 32 bits, and room for the table of them


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MeasureConfig(_Model):
    """A measure to run, by name, with parameters where they differ from its defaults."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = Field(description="name of a registered measure, e.g. `image.quality`; `sluice measures` lists them")

    @property
    def params(self) -> dict[str, Any]:
        """The parameters given beside the name."""
        return dict(self.model_extra or {})


def _measure(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class LimitsConfig(_Model):
    """What one medium may cost; past it the sample fails as `too_large` or `timeout`, and the run goes on."""

    pixels: int = Field(Limits.pixels, gt=0, description="width x height, checked before anything is decoded")
    bytes: int = Field(Limits.bytes, gt=0, description="size of the encoded file")
    ratio: float = Field(Limits.ratio, gt=0, description="decoded bytes / encoded bytes: the mark of a bomb")
    seconds: float = Field(Limits.seconds, gt=0, description="time for one sample")
    memory: int = Field(Limits.memory, ge=256 * 2**20, description="bytes of data that one worker may hold")
    truncated: Literal["fail", "decode"] = Field("fail", description="`decode` takes what is there of a cut file")

    def limits(self) -> Limits:
        """The same as the value that `media` works with."""
        return Limits(**self.model_dump())


class ModelsConfig(_Model):
    """What a worker with a model may take."""

    seconds: float = Field(300, gt=0, description="time for one batch of the encoder, loading it included")
    memory: int = Field(8 * 2**30, ge=2**30, description="bytes of data that a worker may hold")


def largest_shard(format: str) -> int:
    """The most bytes that a shard of `format` may be cut at."""
    return _LARGEST_OFFSETS if format in ("mds", "litdata") else 2**63 - 1


class PackConfig(_Model):
    """One format to write the kept samples in."""

    format: Literal[
        "webdataset",
        "parquet",
        "arrow",
        "tfrecord",
        "mds",
        "litdata",
        "energon",
        "llava",
        "coco",
        "obelics",
    ] = Field(description="the training format")
    shard_bytes: int = Field(256 * 2**20, gt=0, description="a shard is closed before it would pass this size")
    shard_samples: int = Field(10_000, gt=0, description="... or this many samples")
    columns: tuple[str, ...] | None = Field(
        None, description="measured columns to carry along; default: size, format, hash, language, licence"
    )

    @model_validator(mode="after")
    def _within_offsets(self) -> PackConfig:
        largest = largest_shard(self.format)
        if self.shard_bytes > largest:
            raise ValueError(f"a shard of {self.format} holds less than 4 GiB: shard_bytes at most {largest}")
        return self


class Recipe(_Model):
    """A whole run."""

    sluice: Literal[1] = Field(1, description="version of the recipe language")
    name: str = Field(min_length=1, pattern=r"^[\w][\w.\- ]*$", description="name of the dataset")
    run: str | None = Field(
        None, description="the run folder, relative to the recipe, or a URL in an object store; default: `runs/<name>`"
    )
    seed: int = Field(0, ge=0, description="seed of everything that is drawn: splits, samples")
    sources: tuple[SourceConfig, ...] = Field(min_length=1, description="where raw samples come from, in order")
    unit: int = Field(2048, ge=1, le=65_536, description="samples a unit: the piece of work, of commit, of retry")
    plugins: tuple[str, ...] = Field((), description="Python files with measures of your own, relative to the recipe")
    measures: tuple[Annotated[MeasureConfig, BeforeValidator(_measure)], ...] | None = Field(
        None, description="measures to run; `defaults` stands for all built-in ones, which are the default"
    )
    limits: LimitsConfig = Field(LimitsConfig(), description="what one medium may cost")  # pyright: ignore[reportCallIssue]
    filter: FilterConfig = Field(FilterConfig(), description="what 01_filtered decides")  # pyright: ignore[reportCallIssue]
    models: ModelsConfig = Field(ModelsConfig(), description="what a worker with a model may take")  # pyright: ignore[reportCallIssue]
    captions: CaptionsConfig | None = Field(None, description="what 02_captioned does; default: the stage is left out")
    quality: QualityConfig | None = Field(
        None, description="what 03_quality_checked decides; default: the stage is left out"
    )
    balance: BalanceConfig | None = Field(
        None, description="which of the samples that passed are drawn into the dataset; default: all"
    )
    split: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {"train": 1.0}, min_length=1, description="splits and their shares; near-duplicates never lie in two"
    )
    pack: tuple[PackConfig, ...] = Field(
        (PackConfig(format="webdataset"),),  # pyright: ignore[reportCallIssue]
        description="formats to write",
    )
    redact: RedactConfig | None = Field(
        None, description="what is covered in images while they are packed; default: bytes stay as they are"
    )
    augment: tuple[Step, ...] = Field(
        (), description="steps of augmentation, in order: the pack holds them for the loader; no image is changed by it"
    )
    gate: GateConfig = Field(GateConfig(), description="what `sluice gate` asks of the finished run")  # pyright: ignore[reportCallIssue]
    engine: EngineField = Field(EngineConfig(), description="how units are carried to workers; `ray` alone will do")  # pyright: ignore[reportCallIssue]

    @field_validator("run")
    @classmethod
    def _can_be_written_to(cls, run: str | None) -> str | None:
        return checked(run) if run and is_url(run) else run

    @field_validator("pack")
    @classmethod
    def _each_format_once(cls, packs: tuple[PackConfig, ...]) -> tuple[PackConfig, ...]:
        formats = [pack.format for pack in packs]
        for name in formats:
            if formats.count(name) > 1:
                raise ValueError(f"format {name!r} is given twice")
        return packs

    @field_validator("split")
    @classmethod
    def _split_names_are_folders(cls, split: dict[str, float]) -> dict[str, float]:
        for name in split:
            if not name.replace("_", "").replace("-", "").isalnum():
                raise ValueError(f"split {name!r} is not usable as a folder name; use letters, digits, _ and -")
        return split


class RecipeFile:
    """A recipe with where it came from: relative paths are relative to its folder, errors name its lines."""

    def __init__(self, recipe: Recipe, path: Path, lines: dict[Place, int], text: str) -> None:
        self.recipe = recipe
        self.path = path
        self.text = text
        self._lines = lines

    @property
    def base(self) -> Path:
        """The folder that relative paths are relative to."""
        return self.path.parent

    @property
    def run_folder(self) -> Path:
        """Where this recipe's run lies on this machine."""
        return self.layout.root

    @property
    def layout(self) -> Layout:
        """The paths of this recipe's run."""
        run = self.recipe.run or f"runs/{self.recipe.name}"
        return layout_of(run) if is_url(run) else Layout(self.base / run)

    def where(self, *place: str | int) -> str:
        """`recipe.yaml:14: filter.reject.blurry` for the field at `place`."""
        return f"{self.path.name}:{line_of(place, self._lines)}: {dotted(place)}"


def load_recipe(path: Path) -> RecipeFile:
    """Read and check the recipe in the file `path`."""
    return parse_recipe(read_text(path), path)


def parse_recipe(text: str, path: Path) -> RecipeFile:
    """Check the recipe `text`; `path` is what its relative paths and its errors refer to."""
    values, lines = load_with_lines(text, path.name)
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError("\n".join(_explain(error, path.name, lines))) from None
    return RecipeFile(recipe, path.absolute(), lines, text)


def recipe_from(values: dict[str, Any], base: Path) -> RecipeFile:
    """A recipe given as plain values (the Python API); relative paths are relative to `base`."""
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return parse_recipe(text, base / "recipe.yaml")


def _explain(error: ValidationError, name: str, lines: dict[Place, int]) -> list[str]:
    sentences: list[str] = []
    problems = error.errors()
    for problem in problems:
        inside = [other for other in problems if other["loc"][: len(problem["loc"])] == problem["loc"]]
        if problem["type"] == "too_short" and len(inside) > 1:
            continue  # it counts only members that are right
        place = _as_written(problem["loc"], lines)
        line = line_of(place, lines)
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"there is no such field{_near_fields(place)}"
        elif problem["type"] == "missing":
            message = "this field is missing"
        elif "input" in problem and not isinstance(problem["input"], dict | list | tuple):
            message += f" (it is {_shown(problem['input'])!r})"
        sentences.append(f"{name}:{line}: {dotted(place)}: {message}")
    return sorted(set(sentences), key=sentences.index)


def _shown(value: Any) -> Any:
    return masked(value) if isinstance(value, str) and "://" in value else value


def _as_written(loc: tuple[int | str, ...], lines: dict[Place, int]) -> Place:
    """The error's place without the union tags that pydantic puts in: only parts that lead to a written field."""
    place: Place = ()
    for position, part in enumerate(loc):
        if (*place, part) in lines or position == len(loc) - 1:
            place = (*place, part)
    return place


def _near_fields(place: Place) -> str:
    import difflib

    model: Any = Recipe
    for part in place[:-1]:
        if isinstance(part, int):
            continue
        field = getattr(model, "model_fields", {}).get(part)
        model = getattr(field, "default", None).__class__ if field else None
    known = list(getattr(model, "model_fields", {}))
    near = difflib.get_close_matches(str(place[-1]), known, n=1)
    if near:
        return f" (did you mean {near[0]!r}?)"
    return f" (there are: {', '.join(known)})" if known else ""
