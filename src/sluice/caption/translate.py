"""Translators behind one interface: chat services, models of `transformers`, models of CTranslate2."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from sluice.caption.base import Spent
from sluice.caption.batches import Batches, OutOfMemoryError
from sluice.caption.cache import AnswerCache
from sluice.caption.chat_service import ChatService, Question
from sluice.caption.gaps import Gaps
from sluice.caption.image_text_model import is_out_of_memory
from sluice.caption.in_order import in_order
from sluice.caption.prompts import PARAPHRASE, TRANSLATE, language_name
from sluice.caption.reading import read_caption
from sluice.caption.translate_config import (
    ChatTranslatorConfig,
    CTranslate2Config,
    LocalTranslatorBase,
    TransformersTranslatorConfig,
    TranslatorConfig,
)
from sluice.errors import RecipeError, SampleFailure, SluiceError
from sluice.models.digest import content_hash
from sluice.models.extras import optional
from sluice.models.offline import network
from sluice.models.transformers_model import file_names, first_line, has_safetensors, load_class, model_files
from sluice.table.ids import fingerprint

Translation = str | SampleFailure


class Translator(Protocol):
    """Texts from one language to another; a failure in the place of each that could not be."""

    @property
    def identity(self) -> str: ...

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Translation]:
        """One for each text, in order. Where both languages are one, it says the text in other words, if it can."""
        ...

    @property
    def took(self) -> Sequence[Spent]:
        """What the texts of the last call took, one each."""
        ...

    @property
    def stopped(self) -> str | None:
        """Why it takes no more (its budget), and what is left; None while it does."""
        ...


def load_translator(
    config: TranslatorConfig, cache: AnswerCache, *, scope: str = "", again: bool = False
) -> Translator:
    """The translator that `config` names; local models are loaded with the first text of their direction."""
    if isinstance(config, ChatTranslatorConfig):
        service = ChatService(config, cache, scope=f"{scope}/{config.name}", again=again)
        return ChatTranslator(config, service)
    return LocalTranslator(config)


class ChatTranslator:
    """A chat service, with its cache, budget and pace."""

    def __init__(self, config: ChatTranslatorConfig, service: ChatService) -> None:
        self._service = service
        self._threads = config.limits.concurrency
        self._translate, self._paraphrase = config.translate or TRANSLATE, config.paraphrase or PARAPHRASE
        said = config.model_dump(mode="json", include={"url", "model", "revision", "temperature", "seed", "extra"})
        prompts = [self._translate.model_dump_json(), self._paraphrase.model_dump_json()]
        self.identity: Final = (
            f"{config.model}@{fingerprint('translate/1', json.dumps(said, sort_keys=True), *prompts)}"
        )
        self.took: Sequence[Spent] = ()

    @property
    def stopped(self) -> str | None:
        """What is left, once the budget is used up."""
        return self._service.stopped

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Translation]:
        """One for each text, in order."""
        prompt = self._paraphrase if source == target else self._translate
        gaps = Gaps(prompt.text)
        named = {"source": language_name(source), "target": language_name(target)}

        def one(text: str) -> tuple[Translation, Spent]:
            if not text.strip():
                return SampleFailure("model", "there is no text to translate"), Spent()
            reply = self._service.ask(Question(gaps.filled({**named, "text": text}), prompt.system), _read)
            if reply.failure is not None:
                why = SampleFailure(reply.failure.failure_class, f"{reply.failure.kind}: {reply.failure.message}")
                return why, reply.spent
            return reply.value or "", reply.spent

        self._service.interrupted.clear()
        said = list(in_order(texts, one, self._threads, self._service.interrupted.set))
        self.took = [spent for _, spent in said]
        return [text for text, _ in said]


class LocalTranslator:
    """Models on this machine, one a direction."""

    def __init__(self, config: TransformersTranslatorConfig | CTranslate2Config) -> None:
        self._config = config
        self._folders: Final = {pair: Path(folder) for pair, folder in config.models.items()}
        hashes = {pair: _hash(folder) for pair, folder in self._folders.items()}
        told = config.model_dump(include={"type", "codes", "beams", "max_tokens"})
        self.identity: Final = f"{config.name}@{fingerprint(json.dumps([told, hashes], sort_keys=True))}"
        self._loaded: dict[str, Any] = {}
        self.took: Sequence[Spent] = ()
        self.stopped: str | None = None

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[Translation]:
        """One for each text, in order; the longest go together."""
        pair = f"{source}>{target}"
        home = pair if pair in self._folders else "*"
        if home not in self._folders or source == target:
            wish = "paraphrases nothing" if source == target else f"has no model for {pair}"
            raise RecipeError(f"translator {self._config.name} {wish}: it has {', '.join(sorted(self._folders))}")
        if home not in self._loaded:
            make = _Seq2Seq if isinstance(self._config, TransformersTranslatorConfig) else _CTranslate2
            self._loaded[home] = make(self._folders[home], self._config)
        codes = self._config.codes
        run = partial(self._loaded[home].run, source=codes.get(source, source), target=codes.get(target, target))
        batches = Batches[str, Translation](run, self._config.batch, weigh=len, failed=_failed)
        said = list(batches(texts))
        self.took = [Spent()] * len(said)  # no seconds: equal runs are to write equal tables
        return said


class _Seq2Seq:
    """A model of transformers that makes texts from texts."""

    _EXTRA: Final = ("a translator of transformers", "transformers")

    def __init__(self, folder: Path, config: LocalTranslatorBase) -> None:
        with network(False):
            self._torch = optional("torch", *self._EXTRA)
            self._torch.set_num_threads(config.threads)
            self._tokenizer: Any = load_class("AutoTokenizer", folder)
            safe = has_safetensors(model_files(file_names(folder)))
            self._model: Any = load_class("AutoModelForSeq2SeqLM", folder, use_safetensors=safe)
        self._model.eval().to(config.device)
        self._config = config

    def run(self, texts: list[str], source: str, target: str) -> list[Translation]:
        first: dict[str, int] = {}
        if hasattr(self._tokenizer, "src_lang"):  # M2M-100, NLLB: the language is a token
            self._tokenizer.src_lang = source
            first["forced_bos_token_id"] = _language_token(self._tokenizer, target)
        tokens = self._tokenizer(texts, padding=True, return_tensors="pt").to(self._config.device)
        try:
            with self._torch.inference_mode():
                out = self._model.generate(
                    **tokens,
                    **first,
                    max_new_tokens=self._config.max_tokens,
                    num_beams=self._config.beams,
                    do_sample=False,
                    forced_eos_token_id=None,  # it would make a text that is cut look whole
                )
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise OutOfMemoryError(first_line(error)) from None
            raise
        ends = {self._tokenizer.eos_token_id, self._tokenizer.pad_token_id}
        rows: list[list[int]] = out.tolist()
        return [
            self._tokenizer.decode(row, skip_special_tokens=True).strip() if row[-1] in ends else _cut(self._config)
            for row in rows
        ]


class _CTranslate2:
    """A converted OPUS-MT model with its pieces."""

    _EXTRA: Final = ("a translator of CTranslate2", "ctranslate2")

    def __init__(self, folder: Path, config: LocalTranslatorBase) -> None:
        library = optional("ctranslate2", *self._EXTRA)
        pieces: Any = optional("sentencepiece", *self._EXTRA, "SentencePieceProcessor")
        device, _, number = config.device.partition(":")
        try:
            self._source = pieces(model_file=str(folder / "source.spm"))
            self._target = pieces(model_file=str(folder / "target.spm"))
            self._model: Any = library.Translator(
                str(folder), device=device, device_index=int(number or 0), intra_threads=config.threads
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise SluiceError(f"{folder}: is no model of CTranslate2 with its pieces: {first_line(error)}") from error
        self._config = config

    def run(self, texts: list[str], source: str, target: str) -> list[Translation]:
        prefix = [[target]] * len(texts) if target in self._config.codes.values() else None
        tokens = [[*self._source.encode(text, out_type=str), "</s>"] for text in texts]
        try:
            results = self._model.translate_batch(
                tokens,
                target_prefix=prefix,
                beam_size=self._config.beams,
                max_decoding_length=self._config.max_tokens,
                max_batch_size=len(texts),
            )
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise OutOfMemoryError(first_line(error)) from None
            raise
        skip = 0 if prefix is None else 1
        found = [result.hypotheses[0][skip:] for result in results]
        return [
            self._target.decode(one).strip() if len(one) < self._config.max_tokens else _cut(self._config)
            for one in found
        ]


def _read(text: str) -> str:
    return read_caption(text, "dense").text


def _cut(config: LocalTranslatorBase) -> SampleFailure:
    return SampleFailure("model", f"the translation is cut at {config.max_tokens} tokens: raise max_tokens")


def _failed(_: str, error: Exception) -> Translation:
    return error if isinstance(error, SampleFailure) else SampleFailure("model", first_line(error))


def _language_token(tokenizer: Any, code: str) -> int:
    """The token that makes a model of many languages write one of them."""
    if hasattr(tokenizer, "get_lang_id"):  # M2M-100
        return int(tokenizer.get_lang_id(code))
    token = int(tokenizer.convert_tokens_to_ids(code))
    if token == tokenizer.unk_token_id:
        raise SluiceError(f"the model knows no language {code}: say in codes: what it calls it")
    return token


def _hash(folder: Path) -> str:
    if not folder.is_dir():
        raise SluiceError(f"{folder}: there is no such folder")
    files = {name: folder / name for name in file_names(folder) if not name.endswith(".md")}
    return content_hash(files)
