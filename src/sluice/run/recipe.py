"""The recipe: the one YAML file that says a whole run, as models that check it and document it.

Every field has a description: the reference in the docs and the JSON Schema for editors are made from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from sluice.caption.config import CaptionerConfig
from sluice.caption.variation_config import CONSENSUS, METHODS, ConsensusConfig, VariationsConfig
from sluice.corpus.opt_out import Kind
from sluice.errors import RecipeError
from sluice.load.augment.steps import Step
from sluice.media.limits import Limits
from sluice.models.config import VectorsConfig
from sluice.run.alike_config import KEEP_BEST, SemanticDuplicatesConfig, TextDuplicatesConfig
from sluice.run.balance_config import BalanceConfig
from sluice.run.engine_config import EngineConfig, EngineField
from sluice.run.gate_config import GateConfig
from sluice.run.quality_config import RetrievalConfig, Share
from sluice.run.redact_config import RedactConfig
from sluice.run.rights_gate import NAMES, Unknown
from sluice.run.score_config import ScoreConfig
from sluice.run.stored import checked, is_url, layout_of
from sluice.run.yaml_lines import Place, dotted, line_of, load_with_lines, read_text
from sluice.sources.config import SourceConfig
from sluice.table.layout import Layout
from sluice.table.remote import masked

_LARGEST_OFFSETS = 4_000_000_000  # bytes: offsets of 32 bits, and room for the table of them


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RuleConfig(_Model):
    """A named SQL predicate over the columns; the name is the reason."""

    when: str = Field(description="SQL predicate over one row of measured columns, e.g. `sharpness < 100`")
    null: Literal["held", "rejected", "pass"] = Field(
        "held", description="what it means when the predicate is NULL because a column could not be measured"
    )


def _rule(value: Any) -> Any:
    return {"when": value} if isinstance(value, str) else value


RuleField = Annotated[RuleConfig, BeforeValidator(_rule)]


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


class NearConfig(_Model):
    """Near-duplicate images: all pairs within a Hamming distance, one keeper a cluster."""

    hash: str = Field("phash", description="the 64-bit hash column to join on: `phash` or `dhash`")
    distance: int = Field(8, ge=0, le=12, description="largest Hamming distance in bits that counts as near")
    cluster: Literal["star", "components"] = Field(
        "star", description="`star`: every member is within `distance` of its keeper; `components`: chains are followed"
    )
    keep: str = Field(KEEP_BEST, description="ORDER BY expression over the columns; the first member is kept")


class AgainstConfig(_Model):
    """A reference set, such as a benchmark's test images: what matches it is rejected as `contaminated`."""

    name: str = Field(description="name of the reference set, shown in the reason")
    source: SourceConfig | None = Field(None, description="images to hash: any source")
    hashes: str | None = Field(
        None,
        description="or a Parquet/CSV file with a column of 64-bit hashes, or an index that `sluice dedup --add` wrote",
    )
    distance: int = Field(4, ge=0, le=12, description="largest Hamming distance in bits that counts as a match")

    @model_validator(mode="after")
    def _one_of_two(self) -> AgainstConfig:
        if (self.source is None) == (self.hashes is None):
            raise ValueError("give either `source` (images) or `hashes` (a file of hashes)")
        return self


class DuplicatesConfig(_Model):
    """Which repeats are left out."""

    bytes: bool = Field(True, description="reject images whose bytes equal a kept one's")
    captions: bool = Field(True, description="leave out a caption that repeats an earlier one of the same sample")
    boilerplate: int | None = Field(20, ge=1, description="leave out captions that stand on more images than this")
    near: NearConfig | None = Field(NearConfig(), description="near-duplicate images; `null` turns it off")  # pyright: ignore[reportCallIssue] - every field has a default
    text: TextDuplicatesConfig | None = Field(None, description="near-duplicate texts; default: not looked for")
    against: tuple[AgainstConfig, ...] = Field((), description="reference sets to be free of")

    @property
    def alike(self) -> TextDuplicatesConfig | None:
        """The step that looks for what is alike."""
        return self.text


class OptOutConfig(_Model):
    """A list of what must not be used: what it names is rejected as `opted_out`."""

    name: str = Field(description="name of the list, shown in the reason")
    path: str = Field(description="a text file with an entry a line, or a CSV, TSV or Parquet file")
    kind: Kind = Field(description="what the entries are; a domain stands for its subdomains, too")
    distance: int = Field(4, ge=0, le=12, description="`phash` only: largest Hamming distance in bits that matches")


class RightsConfig(_Model):
    """The rights gate: which licences may enter, and which lists of opt-outs are honoured."""

    allow: tuple[str, ...] | None = Field(
        None, min_length=1, description="SPDX ids that may enter, all others are rejected; default: any licence"
    )
    unknown: Unknown = Field("reject", description="what becomes of a licence that is not stated or not understood")
    opt_out: tuple[OptOutConfig, ...] = Field((), description="lists of opt-outs")

    @field_validator("allow")
    @classmethod
    def _are_licences(cls, allow: tuple[str, ...] | None) -> tuple[str, ...] | None:
        from sluice.measures.rights import near_ids, spdx

        for name in allow or ():
            if spdx(name) != name:
                hint = near_ids(name)
                raise ValueError(f"{name!r} is no SPDX id{f' (did you mean {hint}?)' if hint else ''}")
        return allow

    @field_validator("opt_out")
    @classmethod
    def _each_list_once(cls, lists: tuple[OptOutConfig, ...]) -> tuple[OptOutConfig, ...]:
        names = [one.name for one in lists]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the list {name!r} is given twice")
        return lists


class RulesConfig(_Model):
    """The rules of a stage."""

    reject: dict[str, RuleField] = Field({}, description="rules whose samples leave the dataset")
    hold: dict[str, RuleField] = Field({}, description="rules whose samples wait for a review")

    @model_validator(mode="after")
    def _names_are_unique(self) -> RulesConfig:
        for name in self.reject:
            if name in self.hold:
                raise ValueError(f"rule {name!r} stands under both `reject` and `hold`; a name is one reason")
        return self


class FilterConfig(RulesConfig):
    """What 01_filtered decides."""

    rights: RightsConfig | None = Field(None, description="which licences may enter, whose opt-outs are honoured")
    duplicates: DuplicatesConfig = Field(DuplicatesConfig(), description="which repeats are left out")  # pyright: ignore[reportCallIssue]

    @model_validator(mode="after")
    def _names_are_not_of_the_gate(self) -> FilterConfig:
        for name in NAMES if self.rights else ():
            if name in self.reject or name in self.hold:
                raise ValueError(f"{name!r} is a reason that `rights` gives; give your rule another name")
        return self


class RouteConfig(RuleConfig):
    """A rule that sends a sample out before it is captioned; what it cannot judge goes on."""

    null: Literal["held", "rejected", "pass"] = Field(
        "pass", description="what it means when the predicate is NULL, as where there is no caption yet"
    )


RouteField = Annotated[RouteConfig, BeforeValidator(_rule)]


class CaptionsConfig(_Model):
    """What 02_captioned does: samples are kept as they are, captioned, or rejected, by rules over the columns."""

    captioners: tuple[CaptionerConfig, ...] = Field((), description="who captions, in order")
    consensus: ConsensusConfig | None = Field(
        None, description="what two or three captioners agree on, as one more caption; what one claims is flagged"
    )
    variations: VariationsConfig | None = Field(None, description="new captions made from those that there are")
    recaption: dict[str, RuleField] = Field(
        {}, description="rules whose samples are captioned; default: all samples are. NULL counts as yes"
    )
    reject: dict[str, RouteField] = Field({}, description="rules whose samples are not worth a caption and leave")
    pairs: dict[str, RuleField] = Field(
        {}, description="rules whose question-answer pairs (`kind: qa`) are left out; they read measures of texts"
    )
    take_up: bool = Field(
        True, description="whether samples that 01_filtered holds for their captions alone are captioned, not held"
    )

    @field_validator("captioners")
    @classmethod
    def _each_captioner_once(cls, captioners: tuple[CaptionerConfig, ...]) -> tuple[CaptionerConfig, ...]:
        names = [one.name for one in captioners]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the captioner {name!r} is given twice")
            if name in (CONSENSUS, *METHODS):
                raise ValueError(f"{name!r} is the origin of captions made from captions; give another name")
        return captioners

    @model_validator(mode="after")
    def _somebody_writes(self) -> CaptionsConfig:
        if not self.captioners and not self.variations:
            raise ValueError("give `captioners`, or `variations` of the captions that there are")
        if self.recaption and not self.captioners:
            raise ValueError("`recaption` says which samples the captioners describe, and there are none")
        if self.consensus and not 2 <= len(self.captioners) <= 3:
            raise ValueError(f"a consensus is one of two or three captioners, and there are {len(self.captioners)}")
        return self


class QualityRuleConfig(RuleConfig):
    """A rule over all columns and `alignment`; or the share of mismatched pairs that it may let through."""

    when: str = Field("", description="SQL predicate over one row, e.g. `alignment < 0.58`; or give `false_accept`")
    false_accept: Share | None = Field(
        None, description="`1%`: at most this share of mismatched pairs passes; short for `when: false_accept > 0.01`"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> QualityRuleConfig:
        if self.false_accept is None:
            if not self.when:
                raise ValueError("give either `when` (a condition) or `false_accept` (a share)")
            return self
        meant = f"false_accept > {self.false_accept:.10g}"
        if self.when not in ("", meant):  # a locked recipe has both
            raise ValueError("give either `when` (a condition) or `false_accept` (a share), not both")
        object.__setattr__(self, "when", meant)  # frozen for all others
        return self


QualityRuleField = Annotated[QualityRuleConfig, BeforeValidator(_rule)]


class QualityConfig(RulesConfig):
    """What 03_quality_checked decides: its rules may read `alignment`, the cosine of image and text, too."""

    reject: dict[str, QualityRuleField] = Field({}, description="rules whose samples leave the dataset")  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    hold: dict[str, QualityRuleField] = Field({}, description="rules whose samples wait for a review")  # pyright: ignore[reportIncompatibleVariableOverride] - frozen
    encoder: VectorsConfig = Field(description="what makes vectors of images and texts; a threshold belongs to it")
    scores: dict[str, ScoreConfig] = Field(
        {}, description="scores of safety and the like, by name: a head over the vectors, or a service; columns of 03"
    )
    duplicates: SemanticDuplicatesConfig | None = Field(
        None, description="samples whose vectors are nearly the same; default: not looked for"
    )
    retrieval: RetrievalConfig | None = Field(None, description="a check of the kept set as a whole; default: none")
    alternatives: int | None = Field(
        None, ge=0, description="captions kept beside the one that fits best; default: all that no rule speaks against"
    )


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
