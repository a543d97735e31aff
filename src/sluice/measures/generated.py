"""`text.generated`: what a captioning model leaves in a caption when it does not caption.

It refuses, it talks to a user, it repeats its prompt, it runs in circles, it stops in mid-sentence. All of it is told
by fixed words of English, German, French, Spanish and Chinese or by form, so a new way to say the same is missed; what
stands in quotation marks is read from the image and never counts.
"""

from __future__ import annotations

import re
from itertools import pairwise
from operator import eq
from typing import Final

import pyarrow as pa

from sluice.measures.base import Batch, Columns, measure
from sluice.measures.base import text as text_view
from sluice.measures.captioner_phrases import ASSISTANT_TALK, INSTRUCTIONS, REFUSALS
from sluice.measures.cut import is_cut_off
from sluice.measures.unclosed import count_unclosed
from sluice.measures.words import words

_LONGEST_UNIT: Final = 20  # words of what a loop repeats
_INT16_MAX: Final = 32_767

# Tokens and turns of chat templates: ChatML, Llama 2 and 3, Gemma, Vicuna, Alpaca, and what models think aloud.
_TEMPLATE: Final = re.compile(
    r"<\|[a-z][a-z0-9_ -]*\|>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>"
    r"|</?think(?:ing)?>"
    r"|#{2,4} ?(?:assistant|human|user|system|instruction|response|input|output)\b"
    r"|\b(?-i:USER|ASSISTANT|SYSTEM|HUMAN): |(?:^|\n)\s*(?:human|assistant|user|system) ?[:：]",
    re.IGNORECASE,
)
_MAYBE_TEMPLATE: Final = re.compile(r"[<\[#:：]")
_LABEL: Final = re.compile(
    r"[\s\"'*#“„«]*(?:(?:image |short |detailed |generated |alt )?captions?|answer|response|output"
    r"|bild(?:unterschrift|beschreibung)|antwort|légende|réponse|pie de (?:foto|imagen)|respuesta"
    r"|标题|描述|图片描述|回答|答案)[*\s]*[:：]",
    re.IGNORECASE,
)
_QUOTED: Final = re.compile(r"\"[^\"]*\"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|「[^」]*」|『[^』]*』")
_QUOTES: Final = '"“„«「『'
_RUN: Final = re.compile(r"([^\s\d])\1{3,}")

_GENERATED: Final = {
    "refusal": pa.bool_(),
    "assistant_talk": pa.bool_(),
    "prompt_leak": pa.bool_(),
    "loop_words": pa.int16(),
    "character_run": pa.int16(),
    "unclosed": pa.int16(),
    "cut_off": pa.bool_(),
}


@measure("text.generated", version=1, reads=text_view(), writes=_GENERATED)
def generated(batch: Batch) -> Columns:
    """What captioning models leave in a caption: refusals, talk, their prompt, loops, loose ends.

    The first three know fixed phrases of English, German, French, Spanish and Chinese, and miss other languages;
    phrases in quotation marks (a sign that is read) do not count. `cut_off` goes by the declared language.

    - `refusal`: it declines: "I'm sorry, but I can't", "I am unable to identify".
    - `assistant_talk`: it speaks of itself or to a user: "As an AI", "Sure! Here is a caption", "Caption:".
    - `prompt_leak`: tokens and turns of a chat template, or an instruction such as "Describe the image in detail".
    - `loop_words`: words of the longest stretch that says the same 1 to 20 words three times or more in a row; else 0.
    - `character_run`: longest run of one visible character (no digit), where it is 4 or more; else 0.
    - `unclosed`: brackets, quotation marks and Markdown fences that are opened and never closed.
    - `cut_off`: ends in a word or mark that ends no sentence ("a dog on the", a comma), or lacks the full stop that its
      other sentences have.
    """
    rows = [_generated(text, language) for text, language in zip(batch.text, batch.language, strict=True)]
    return {name: [row[place] for row in rows] for place, name in enumerate(_GENERATED)}


def _generated(text: str, language: str | None) -> tuple[bool | int, ...]:
    found = words(text)
    refusal, talk, leak = (phrases.found_in(found) for phrases in (REFUSALS, ASSISTANT_TALK, INSTRUCTIONS))
    if (refusal or talk or leak) and (spoken := _unquoted(text)) != text:
        own = words(spoken)
        refusal, talk, leak = (phrases.found_in(own) for phrases in (REFUSALS, ASSISTANT_TALK, INSTRUCTIONS))
    return (
        refusal,
        talk or _LABEL.match(text) is not None,
        leak or (_MAYBE_TEMPLATE.search(text) is not None and _TEMPLATE.search(text) is not None),
        min(loop_words(found), _INT16_MAX),
        min(max((len(run[0]) for run in _RUN.finditer(text)), default=0), _INT16_MAX),
        min(count_unclosed(text), _INT16_MAX),
        is_cut_off(text, found, language),
    )


def _unquoted(text: str) -> str:
    """The text without what it quotes; quotation marks around the whole are the writer's."""
    if not any(mark in text for mark in _QUOTES):
        return text
    text = text.strip()
    inside = _QUOTED.fullmatch(text)
    return text[1:-1] if inside else _QUOTED.sub(" ", text)


def loop_words(found: list[str]) -> int:
    """Words of the longest stretch of `found` that repeats the same 1 to 20 words at least three times in a row.

    >>> loop_words("a red ball a red ball a red ball".split()), loop_words("a red ball and a red cube".split())
    (9, 0)
    """
    pairs = list(pairwise(found))
    if len(pairs) == len(set(pairs)):  # a unit that is said three times repeats a pair of words
        return 0
    longest = 0
    for period in range(1, min(_LONGEST_UNIT, len(found) // 3) + 1):
        same = bytes(map(eq, found, found[period:]))  # 1 where a word stands again a period later
        run = max(map(len, same.split(b"\0")))
        if run >= 2 * period:
            longest = max(longest, run + period)
    return longest
