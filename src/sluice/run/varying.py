"""Variations of a unit's captions, in a run: of those of the source and of captioners, as captions beside them.

What is discarded stands in the table too, with the reason; what a translator failed on can be tried again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from sluice.caption.augment import Original, Variation, back_translated, expanded, of_length, paraphrased
from sluice.caption.cache import AnswerCache
from sluice.caption.prompts import PARAPHRASE, TRANSLATE
from sluice.caption.translate import Translator, load_translator
from sluice.caption.translate_config import ChatTranslatorConfig, LocalTranslatorBase, TranslatorConfig
from sluice.caption.variation_config import VariationsConfig
from sluice.measures.text import text_hash
from sluice.run.said import said_table, texts_said
from sluice.table.ids import fingerprint

VARIATIONS: Final = "variations"  # their folder
_VARIED: Final = ("short", "dense", "grounded")

Make = Callable[[Iterable[Original]], Iterable[Variation]]


@dataclass(frozen=True)
class Varied:
    """A caption that is to be varied, as an item of its sample."""

    sample: str
    item: int
    text: str
    language: str | None
    kind: str = "short"
    fields: Mapping[str, object] = field(default_factory=dict[str, object])


class Varying:
    """The methods that a recipe asks for, with their translators."""

    def __init__(self, config: VariationsConfig, cache: AnswerCache, *, scope: str = "", again: bool = False) -> None:
        self._config = config
        self._translators: list[Translator] = []

        def loaded(translator: TranslatorConfig) -> Translator:
            self._translators.append(load_translator(translator, cache, scope=scope, again=again))
            return self._translators[-1]

        self._methods: list[tuple[str, Make, dict[str, Any]]] = []
        if (template := config.expand) is not None:
            self._methods.append(("expand", lambda originals: expanded(originals, template), {}))
        if (band := config.length) is not None:
            self._methods.append(("length", lambda originals: of_length(originals, band.shortest, band.longest), {}))
        if config.paraphrase is not None:
            by = loaded(config.paraphrase)
            asked = _asked(config.paraphrase, same=True)
            self._methods.append(("paraphrase", lambda originals: paraphrased(originals, by), asked))
        if (through := config.back_translation) is not None:
            there = loaded(through.there)
            back = there if through.back is None else loaded(through.back)
            asked = _asked(through.there, same=False)
            self._methods.append(
                ("back_translation", lambda originals: back_translated(originals, there, through.pivot, back), asked)
            )
        who = [one.identity for one in self._translators]
        methods = config.model_dump_json(exclude={"paraphrase": True, "back_translation": {"there", "back"}})
        self.fingerprint: Final = fingerprint("variations/1", methods, *[name for name, *_ in self._methods], *who)

    @property
    def folder(self) -> str:
        """The name of its folder in `02_captioned/captions`."""
        return f"{VARIATIONS}@{self.fingerprint}"

    @property
    def stopped(self) -> str | None:
        """Why a translator takes no more, and what is left."""
        return next((one.stopped for one in self._translators if one.stopped), None)

    def vary(self, captions: Sequence[Varied], known: Mapping[str, Sequence[str]], numbers: Counter[str]) -> pa.Table:
        """What each method makes of each caption; `numbers` (next items, by sample) counts on.

        `known` are all texts of each sample: a variation that says the same as one of them is none.
        """
        seen = {sample: {text_hash(text) for text in texts} for sample, texts in known.items()}
        originals = [
            Original(str(place), one.text, one.language or self._config.language, one.fields)
            for place, one in enumerate(captions)
        ]
        rows: list[dict[str, Any]] = []
        for method, make, asked in self._methods:
            for variation in make(originals):
                of = captions[int(variation.origin)]
                text, why = variation.text, variation.discarded
                if text is not None and text_hash(text) in seen.setdefault(of.sample, set()):
                    text, why = None, "the sample has this caption already"
                row: dict[str, Any] = {
                    "id": of.sample,
                    "captioner": method,
                    "kind": "short" if of.kind == "grounded" else of.kind,
                    "language": of.language or self._config.language,
                    "of": of.item,
                    "model": variation.maker,
                    "revision": self.fingerprint,
                    **asked,
                    **vars(variation.spent),
                }
                if variation.failure is not None:
                    failure = variation.failure
                    row |= {"failure_class": failure.failure_class, "failure_kind": "model", "failure": failure.message}
                elif text is None:
                    row["discarded"] = why
                else:
                    row |= {"text": text, "item": numbers[of.sample]}
                    numbers[of.sample] += 1
                    seen[of.sample].add(text_hash(text))
                rows.append(row)
        return said_table(rows)


def of_captioners(said: pa.Table) -> list[Varied]:
    """The generated captions that can be varied."""
    return [
        Varied(row["id"], row["item"], row["text"], row["language"], row["kind"])
        for row in texts_said(said)
        if row["kind"] in _VARIED
    ]


def absolute(config: VariationsConfig, base: Path) -> VariationsConfig:
    """The config with the folders of translators made absolute: workers have a folder of their own."""
    through = config.back_translation
    if through is None:
        return config
    back = None if through.back is None else _absolute(through.back, base)
    moved = through.model_copy(update={"there": _absolute(through.there, base), "back": back})
    return config.model_copy(update={"back_translation": moved})


def _absolute(config: TranslatorConfig, base: Path) -> TranslatorConfig:
    if not isinstance(config, LocalTranslatorBase):
        return config
    return config.model_copy(
        update={"models": {pair: str((base / folder).absolute()) for pair, folder in config.models.items()}}
    )


def _asked(config: TranslatorConfig, *, same: bool) -> dict[str, Any]:
    """How a chat service is asked, for the record."""
    if not isinstance(config, ChatTranslatorConfig):
        return {}
    prompt = (config.paraphrase or PARAPHRASE) if same else (config.translate or TRANSLATE)
    told = {"prompt": prompt.name, "prompt_version": prompt.version}
    return {**told, "temperature": config.temperature, "seed": config.seed}
