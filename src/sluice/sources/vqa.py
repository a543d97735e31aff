"""VQAv2: a sample a question; its answers weighted by how many of the ten people gave them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sluice.errors import SourceError
from sluice.sources.base import JSON, Item, RawSample, Rights, SourceFile
from sluice.sources.config import VqaConfig
from sluice.sources.fields import text_of, to_json
from sluice.sources.images import ImageFolder
from sluice.sources.json_scan import Index, JsonFile, open_json
from sluice.sources.names import Keys, Names
from sluice.sources.paths import default_name, list_files
from sluice.sources.texts import Refused

_ENOUGH: Final = 3  # an answer that three of ten gave is right: min(count / 3, 1), Antol et al. 2015, section 3.2
_USED: Final = ("question_id", "image_id", "question")


@dataclass(frozen=True)
class VqaSource:
    """The questions of one file in their order, then the annotations of questions that are not there."""

    name: str
    config: VqaConfig
    base: Path

    def files(self) -> list[SourceFile]:
        """The questions file and the annotations file."""
        return [self._one(self.config.path), *([self._one(self.config.annotations)] if self.config.annotations else [])]

    def samples(self) -> Iterator[RawSample]:
        """A sample a question; its id is its name in the source."""
        folder = ImageFolder(self.config.images, self.base)
        files = self.files()
        with open_json(files[0].uri) as questions:
            if len(files) == 1:
                yield from _Questions(questions, None, folder, self.config.pattern).samples()
                return
            with open_json(files[1].uri) as annotations:
                yield from _Questions(questions, annotations, folder, self.config.pattern).samples()

    def _one(self, path: str) -> SourceFile:
        files = list_files(path, self.base, (".json",), "a VQA file (.json)")[1]
        if len(files) != 1:
            raise SourceError(f"{path}: expected one VQA file, found {len(files)}; make a source of each split")
        return files[0]


class _Questions:
    """The questions of one file joined with their annotations, by place."""

    def __init__(self, questions: JsonFile, annotations: JsonFile | None, folder: ImageFolder, pattern: str | None):
        self._file = questions
        self._annotations = annotations
        self._folder = folder
        self._pattern = pattern
        self._facts: dict[str, Any] = {}
        self._places: list[tuple[int, int]] = []
        self._asked = Index()
        self._answered = Index()
        self._names = Names()

    def samples(self) -> Iterator[RawSample]:
        """A sample a question, then a failed one for each annotation without a question."""
        self._survey()
        keys = Keys(self._names)
        for number, (start, size) in enumerate(self._places):
            key = f"questions[{number}]"
            try:
                entry = self._file.read(start, size)
                if entry.get("question_id") is None:
                    raise Refused("decode", f"{self._file.uri}: questions[{number}] has no question_id")
                key = keys.of(str(entry["question_id"]))
                yield self._sample(entry, key)
            except Refused as refused:
                yield RawSample(key, (), failure=refused.failure)
        if self._annotations is not None:
            for start, _ in self._answered.without(self._asked):
                message = f"{self._annotations.uri}: byte {start:,}: an annotation of a question that is not there"
                yield RawSample(f"annotation@{start}", (), failure=("io", message))

    def _survey(self) -> None:
        for element in self._file.elements():
            if element.name == "questions":
                self._places.append((element.start, element.size))
                name = element.value.get("question_id") if isinstance(element.value, dict) else None
                self._asked.add(name, element)
                self._names.add(str(name))
            else:
                self._facts.setdefault(element.name, element.value)
        if not self._places:
            found = ", ".join(name or "an array" for name in self._facts) or "nothing"
            hint = "; `path` is the questions file, `annotations` the other" if "annotations" in self._facts else ""
            raise SourceError(f"{self._file.uri}: expected VQA questions under `questions`, found {found}{hint}")
        if self._annotations is not None:
            for element in self._annotations.elements():
                if element.name == "annotations" and isinstance(element.value, dict):
                    self._answered.add(element.value.get("question_id"), element)
        self._asked.seal()
        self._answered.seal()
        self._names.seal()
        if self._annotations is not None and not len(self._answered):
            raise SourceError(f"{self._annotations.uri}: expected VQA annotations under `annotations`, found none")
        if self._pattern is None:
            subset = text_of(self._facts.get("data_subtype"))
            if subset is None:
                raise SourceError(f"{self._file.uri}: no `data_subtype`, so image names are unknown; give a `pattern:`")
            # test-dev asks about a part of the test images, under their own names
            self._pattern = f"COCO_{subset.replace('-dev', '')}_{{id:012d}}.jpg"

    def _sample(self, entry: dict[str, Any], key: str) -> RawSample:
        where = f"{self._file.uri}: question {key}"
        question = entry.get("question")
        if not isinstance(question, str) or not question.strip():
            raise Refused("decode", f"{where}: has no text")
        items = [Item("text", "question", question)]
        meta: dict[str, JSON] = {"image_id": to_json(entry.get("image_id"))}
        meta |= {name: to_json(value) for name, value in entry.items() if name not in _USED}
        rights = Rights(dataset=self._dataset())
        try:
            items += self._answers(entry["question_id"], where, meta)
            image = self._folder.item(self._image(entry.get("image_id"), where), where)
        except Refused as refused:
            return RawSample(key, tuple(items), rights, meta, refused.failure)
        return RawSample(key, (image, *items), rights, meta)

    def _dataset(self) -> str | None:
        info = self._facts.get("info")
        return text_of(info.get("description")) if isinstance(info, dict) else None

    def _image(self, number: Any, where: str) -> str:
        try:
            return (self._pattern or "").format(id=number)
        except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
            raise Refused("decode", f"{where}: image_id {number!r} does not fit {self._pattern}: {error}") from error

    def _answers(self, question: Any, where: str, meta: dict[str, JSON]) -> list[Item]:
        if self._annotations is None:
            return []
        places = self._answered.places(question)
        if len(places) != 1:
            raise Refused("io", f"{where}: {self._annotations.uri} has {len(places)} annotations of it; expected one")
        annotation = self._annotations.read(*places[0])
        meta |= {name: to_json(value) for name, value in annotation.items() if name not in _USED}
        given = annotation.get("answers")
        if not isinstance(given, list) or not given:
            raise Refused("decode", f"{where}: its annotation has no list of answers")
        texts = [text_of(answer.get("answer")) if isinstance(answer, dict) else None for answer in given]
        if None in texts:
            raise Refused("decode", f"{where}: one of its answers has no text")
        counts = Counter(text for text in texts if text is not None)
        return [Item("text", "answer", text, weight=min(n / _ENOUGH, 1.0)) for text, n in counts.most_common()]


def open_vqa(config: VqaConfig, base: Path) -> VqaSource:
    """The VQA source that `config` describes."""
    return VqaSource(config.name or default_name(config.path, "vqa"), config, base)
