"""Worlds whose truth is known: drawn scenes with captions, questions and planted defects, and a score against them.

    generate(Path("data/world"), count=2000, seed=0)
    score(truth, verdicts).text()

Everything in a world follows from (count, seed), down to the bytes. For the demo, for tests, and for training the
built-in encoder (`Scene`, `imagine`, `render`, `captions`).
"""

from __future__ import annotations

from sluice.synth.generate import TRUTH, World, generate
from sluice.synth.grammar import captions, questions
from sluice.synth.imagine import imagine
from sluice.synth.paint import Picture, render
from sluice.synth.scene import Chart, Group, Scene, Sign, Thing
from sluice.synth.score import Score, score

__all__ = [
    "TRUTH",
    "Chart",
    "Group",
    "Picture",
    "Scene",
    "Score",
    "Sign",
    "Thing",
    "World",
    "captions",
    "generate",
    "imagine",
    "questions",
    "render",
    "score",
]
