"""What a model is asked for each kind of caption, by name and version. A changed text gets another version."""

from __future__ import annotations

from typing import Any, Final

from sluice.caption.base import SCALE, CaptionKind
from sluice.caption.config import PromptConfig

NOTHING_TO_READ: Final = "NO TEXT"

_LANGUAGE: Final = "[ Write in {language}.]"
_NOT_SEEN: Final = "Say only what can be seen; guess no names, brands or places."

PROMPTS: Final[dict[CaptionKind, PromptConfig]] = {
    "short": PromptConfig(
        name="short",
        text=f"Describe this image in one sentence of 10 to 25 words. {_NOT_SEEN} Begin with what is shown, without "
        f'"the image shows". Answer with the sentence alone.{_LANGUAGE}',
    ),
    "dense": PromptConfig(
        name="dense",
        text="Describe this image in 3 to 6 sentences: what there is and how many, its colours and materials, where "
        f"things are, what happens, the background, and any text, quoted. {_NOT_SEEN} Answer with the description "
        f"alone.{_LANGUAGE}",
    ),
    "ocr": PromptConfig(
        name="ocr",
        text="Write down all text in this image exactly as it stands, in reading order, a line for each line. Do not "
        f"translate or correct it. If there is none, answer {NOTHING_TO_READ}. Answer with the text alone.",
    ),
    "grounded": PromptConfig(
        name="grounded",
        text='Answer with JSON alone: {{"caption": a sentence that describes this image, "boxes": [[{{"label": a thing '
        'in the sentence, in its words, "box": [[left, top, right, bottom]]}}]]}}. Coordinates are whole numbers '
        f"from 0 to {SCALE} across and down the image, whatever its size. Give a box for each thing.{_LANGUAGE}",
    ),
    "qa": PromptConfig(
        name="qa",
        text='Answer with JSON alone: {{"pairs": [[{{"question": ..., "answer": ...}}]]}}, 3 to 6 questions that can '
        "be answered from this image alone, with short answers. Ask about things, counts, colours, positions, actions "
        f"and text.{_LANGUAGE}",
    ),
}

TRANSLATE: Final = PromptConfig(
    name="translate",
    text="Translate this image caption from {source} to {target}. Keep numbers, names in quotation marks, and left and "
    "right. Answer with the translation alone.\n\n{text}",
)
PARAPHRASE: Final = PromptConfig(
    name="paraphrase",
    text="Say this image caption in other words, in the same language ({source}). Add nothing and leave nothing out. "
    "Keep numbers, names in quotation marks, and left and right. Answer with the caption alone.\n\n{text}",
)

_NAMES: Final = {
    "ar": "Arabic",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "hi": "Hindi",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "sv": "Swedish",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}


def language_name(code: str) -> str:
    """What a model is told for a language (BCP 47).

    >>> language_name("de"), language_name("pt-BR"), language_name("oc")
    ('German', 'Portuguese (pt-BR)', 'the language with the BCP 47 code oc')
    """
    if code in _NAMES:
        return _NAMES[code]
    primary = code.partition("-")[0].lower()
    return f"{_NAMES[primary]} ({code})" if primary in _NAMES else f"the language with the BCP 47 code {code}"


_TEXT: Final = {"type": "string", "minLength": 1}


def _list_of(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": _record(fields)}


def _record(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


SCHEMAS: Final[dict[CaptionKind, dict[str, Any]]] = {
    "grounded": _record(
        {
            "caption": _TEXT,
            "boxes": _list_of({"label": _TEXT, "box": {"type": "array", "items": {"type": "number"}}}),
        }
    ),
    "qa": _record({"pairs": _list_of({"question": _TEXT, "answer": _TEXT})}),
}
