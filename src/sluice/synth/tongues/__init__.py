"""The languages of the grammar, one a file: word forms, noun phrases, sentences, questions."""

from __future__ import annotations

from typing import Final

from sluice.synth.tongues.base import Question, Tongue
from sluice.synth.tongues.chinese import CHINESE
from sluice.synth.tongues.english import ENGLISH
from sluice.synth.tongues.french import FRENCH
from sluice.synth.tongues.german import GERMAN
from sluice.synth.tongues.spanish import SPANISH

TONGUES: Final = {tongue.code: tongue for tongue in (ENGLISH, GERMAN, FRENCH, SPANISH, CHINESE)}

__all__ = ["TONGUES", "Question", "Tongue"]
