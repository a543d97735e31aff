"""The scores of a recipe: which columns each writes, under which identity, checked before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from sluice.errors import RecipeError, SampleFailure, SluiceError
from sluice.measures.base import Batch, Columns, Measure, data, text
from sluice.models.base import Identity
from sluice.models.heads import Head, load_head
from sluice.models.http_classifier import HttpClassifier
from sluice.run.measure_plan import LoadedPlan
from sluice.run.score_config import HttpScoreConfig, Of, ScoreConfig
from sluice.table.ids import fingerprint

if TYPE_CHECKING:
    from sluice.media.limits import Limits
    from sluice.run.recipe import RecipeFile

NOT_STATED: Final = "not stated"  # the revision of a service of which nothing is known
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NOT_OF_A_NAME: Final = re.compile(r"[^A-Za-z0-9]+")
_CLASSIFIERS: Final[dict[str, HttpClassifier]] = {}  # by its config: a worker scores many units


@dataclass(frozen=True)
class Score:
    """A score with who gives it; picklable, the same in every process."""

    name: str
    config: ScoreConfig
    identity: Identity

    @property
    def of(self) -> Of:
        """What one of its values is about."""
        return self.config.of

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The columns that it writes."""
        return dict.fromkeys(_columns(self.name, self.config), pa.float32())

    @property
    def revision(self) -> str | None:
        """The hash of a head; what is stated of a service, None where nothing is: its weights are out of sight."""
        if isinstance(self.config, HttpScoreConfig):
            return None if self.config.revision == NOT_STATED else self.config.revision
        return self.identity.hash

    def store(self, encoder: str, limits: Limits) -> str:
        """The folder of its values, `score.name@fingerprint`; a head's depend on the vectors in the store `encoder`."""
        if isinstance(self.config, HttpScoreConfig):
            (identity,) = self.asking(limits).identities()
            return identity
        return f"score.{self.name}@{fingerprint('head/1', self.identity.hash, self.of, encoder)}"

    def head(self, encoder: Identity) -> Head:
        """The head, refused unless it was made for the vectors of `encoder`."""
        assert not isinstance(self.config, HttpScoreConfig)
        return load_head(self.config, encoder)

    def asking(self, limits: Limits) -> LoadedPlan:
        """The classifier as a measure."""
        config = self.config
        assert isinstance(config, HttpScoreConfig)
        view = data() if config.of == "image" else text()
        function = _Asked(config, list(self.columns))
        measure = Measure(f"score.{self.name}", 1, (view,), self.columns, function, model=self.identity.hash)
        return LoadedPlan((measure,), limits, config.batch)


def load_scores(file: RecipeFile) -> tuple[Score, ...]:
    """The scores of the recipe `file`, their files read and their hashes checked; none where it has no `quality`."""
    quality = file.recipe.quality
    return tuple(_load(file, name, config) for name, config in (quality.scores if quality else {}).items())


def check_names(file: RecipeFile, scores: tuple[Score, ...], taken: pa.Schema) -> None:
    """RecipeError where a score would write a column that is there, or one that no rule could name."""
    owners = dict.fromkeys(taken.names, "a measure")
    for score in scores:
        where = file.where("quality", "scores", score.name)
        if not _NAME.fullmatch(score.name):
            raise RecipeError(f"{where}: a score is named by letters, digits and _, for its name is that of a column")
        for column in score.columns:
            if column in owners:
                raise RecipeError(f"{where}: {owners[column]} writes the column {column!r} already; take another name")
            owners[column] = f"the score {score.name!r}"


def score_fields(scores: tuple[Score, ...]) -> list[pa.Field]:
    """The columns of all scores."""
    return [pa.field(name, kind) for score in scores for name, kind in score.columns.items()]


def grains(scores: tuple[Score, ...]) -> dict[str, Of]:
    """Of what each column of the scores speaks."""
    return {name: score.of for score in scores for name in score.columns}


def _columns(name: str, config: ScoreConfig) -> Iterator[str]:
    """The names of the columns.

    >>> config = HttpScoreConfig(type="http", of="text", url="http://h/v1", model="m", labels=("sexual/minors",))
    >>> list(_columns("toxic", config))
    ['toxic_sexual_minors']
    """
    if isinstance(config, HttpScoreConfig):
        yield from (f"{name}_{_NOT_OF_A_NAME.sub('_', label).strip('_').lower()}" for label in config.labels)
    else:
        yield name


def _load(file: RecipeFile, name: str, config: ScoreConfig) -> Score:
    try:
        if isinstance(config, HttpScoreConfig):
            return Score(name, config, _classifier(config).identity)
        path = str((file.base / config.path).absolute())
        config = config.model_copy(update={"path": path})
        return Score(name, config, Head(Path(path), hash=config.hash).identity)
    except SluiceError as error:
        raise RecipeError(f"{file.where('quality', 'scores', name)}: {error}") from None


def _classifier(config: HttpScoreConfig) -> HttpClassifier:
    said = config.model_dump_json()
    if said not in _CLASSIFIERS:
        _CLASSIFIERS[said] = HttpClassifier(config)
    return _CLASSIFIERS[said]


class _Asked:
    """The function of the measure: asks for a batch at once, and fails for those items alone that got no score.

    A batch in which one failed comes again row by row: what was answered is remembered, so nothing is paid twice.
    """

    def __init__(self, config: HttpScoreConfig, columns: list[str]) -> None:
        self._config = config
        self._columns = columns
        self._told: Mapping[str | bytes, tuple[list[float], str | None]] = {}

    def __call__(self, batch: Batch) -> Columns:
        items: list[Any] = list(batch.bytes if self._config.of == "image" else batch.text)
        if not all(item in self._told for item in items):
            classifier = _classifier(self._config)
            ask = classifier.score_images if self._config.of == "image" else classifier.score_texts
            scores, errors = ask(items)
            self._told = dict(zip(items, zip(scores.tolist(), errors, strict=True), strict=True))
        told = [self._told[item] for item in items]
        for _, error in told:
            if error is not None:
                name, _, message = error.partition(": ")
                raise SampleFailure("decode" if name == "decode" else "api", message)
        return {name: [scores[place] for scores, _ in told] for place, name in enumerate(self._columns)}
