"""What a model's text says: a caption of the kind that was asked for, or why it is none."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from sluice.caption.base import SCALE, Box, Caption, CaptionKind, FailureKind, Pair
from sluice.caption.prompts import NOTHING_TO_READ

_SHOWN: Final = 120  # characters of an answer in a message
_FENCE: Final = re.compile(r"\A```[a-zA-Z]*\n(.*)\n?```\Z", re.DOTALL)
_THOUGHT: Final = re.compile(r"\A<think>.*?</think>", re.DOTALL)
_LONGEST_REFUSAL: Final = 400  # characters; a description that begins so and goes on is none
# How models say no, at the very beginning, in English, German, French, Spanish and Chinese. "I can't see any text"
# and "I cannot make out the sign" describe; what follows must be about helping, or about the request.
_REFUSAL: Final = re.compile(
    r"""(?:i['’]?m\ sorry|i\ am\ sorry|sorry|i\ apologi[sz]e|unfortunately)[,.:;!]?\s+(?:but\s+)?
            (?:i|as\ an?\ |this\ request|that)\b
      | (?:i\ can(?:no|['’])t|i\ can\ not|i\ am\ unable\ to|i['’]?m\ unable\ to|i\ won['’]t|i\ am\ not\ able\ to
            |i['’]?m\ not\ able\ to)\s+(?:help|assist|comply|fulfil|provide|process|do\ that|identify|describe|caption
            |discuss|engage|view|see\ (?:the|this|any)\ image|analy[sz]e)\b
      | as\ an\ ai\b
      | (?:es\ tut\ mir\ leid|tut\ mir\ leid|entschuldigung)\b.*?\b(?:kann|darf|bin)\b
      | ich\ kann\ (?:dir|ihnen|dabei|diese[sr]?|das)\b.*?\bnicht\b
      | (?:désolée?|je\ suis\ désolée?)\b.*?\bje\s+ne\b
      | je\ ne\ (?:peux|suis)\ pas\b.*?\b(?:aider|décrire|identifier|répondre)\b
      | (?:lo\ siento|lo\ lamento)\b.*?\bno\s+puedo\b
      | no\ puedo\ (?:ayudar|describir|identificar|responder)
      | (?:抱歉|对不起|很抱歉)[，,]?.{0,10}?(?:无法|不能)
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


class UnreadableError(Exception):
    """An answer that is no caption of the kind asked for."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.message = message


def read_caption(answer: str, kind: CaptionKind, language: str | None = None) -> Caption:
    """The caption in a model's answer; `UnreadableError` where there is none.

    >>> read_caption(" A dog on a beach. ", "short").text
    'A dog on a beach.'
    >>> read_caption('```json\\n{"pairs": [{"question": "How many?", "answer": "Two."}]}\\n```', "qa").pairs
    (Pair(question='How many?', answer='Two.'),)
    """
    text = _THOUGHT.sub("", answer.strip()).strip()
    if not text:
        raise UnreadableError("empty", "the answer has no text")
    if is_refusal(text):
        raise UnreadableError("refused", f"the model will not: {_short(text)}")
    if kind in ("short", "dense"):
        return Caption(_unquoted(" ".join(text.split())), kind, language=language)
    if kind == "ocr":
        nothing = text.strip(".'\"[]() ").upper() == NOTHING_TO_READ
        return Caption("" if nothing else text, kind, language=language)
    fields = _fields(text)
    if kind == "grounded":
        caption = _line(fields, "caption")
        return Caption(caption, kind, boxes=tuple(map(_box, _rows(fields, "boxes"))), language=language)
    pairs = tuple(Pair(_line(row, "question"), _line(row, "answer")) for row in _rows(fields, "pairs"))
    return Caption("\n".join(f"{pair.question} {pair.answer}" for pair in pairs), kind, pairs=pairs, language=language)


def is_refusal(text: str) -> bool:
    """Whether an answer says that the model will not; known of English, German, French, Spanish and Chinese.

    >>> is_refusal("I'm sorry, but I can't help with that."), is_refusal("I can't read the sign on the left.")
    (True, False)
    """
    return len(text) <= _LONGEST_REFUSAL and _REFUSAL.match(text) is not None


def _unquoted(text: str) -> str:
    """A caption that a model put into quotation marks as a whole."""
    quoted = len(text) > 2 and text[0] == text[-1] == '"' and text.count('"') == 2
    return text[1:-1].strip() or text if quoted else text


def _fields(text: str) -> dict[str, Any]:
    fence = _FENCE.match(text)
    try:
        fields = json.loads(fence.group(1) if fence else text)
    except ValueError as error:
        raise UnreadableError("schema", f"the answer is no JSON ({error}): {_short(text)}") from None
    if not isinstance(fields, dict):
        raise UnreadableError("schema", f"the answer is no JSON object: {_short(text)}")
    return fields


def _rows(fields: dict[str, Any], name: str) -> list[dict[str, Any]]:
    rows: object = fields.get(name)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise UnreadableError("schema", f"the answer has no list of objects under {name!r}")
    return rows


def _line(fields: dict[str, Any], name: str) -> str:
    value: object = fields.get(name)
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text:
        raise UnreadableError("schema", f"the answer has no text under {name!r}")
    return text


def _box(row: dict[str, Any]) -> Box:
    label = _line(row, "label")
    found: object = row.get("box")
    if not isinstance(found, list) or len(found) != 4 or not all(map(_is_number, found)):
        raise UnreadableError("schema", f"the box of {label!r} is not four numbers: {found!r:.80}")
    left, top, right, bottom = found
    if not (0 <= left < right <= SCALE and 0 <= top < bottom <= SCALE):
        raise UnreadableError("schema", f"the box of {label!r} is none in [0, {SCALE}]: {found}")
    return Box(label, (left, top, right, bottom))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]} …"
