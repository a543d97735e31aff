"""What is true of a scene, as a row of yes and no: what both towers are asked while they learn.

One linear head reads these from the vectors of pictures and of captions alike, so that the common space says the same
thing in the same place whichever tower wrote it. The head is thrown away afterwards.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from sluice.synth.imagine import WORDS
from sluice.synth.scene import CHARTS, COLOURS, SETTINGS, SHAPES, Scene
from sluice.synth.tongues.base import largest, related

_COUNTED: Final = 6  # and more


def facts(scene: Scene) -> set[str]:
    """All that is asked and true of a scene and that any caption of it says."""
    said = {f"setting {scene.setting}"}
    for group in scene.groups:
        count = min(group.count, _COUNTED)
        said |= {
            f"{group.colour} {group.shape}",
            f"{group.shape} {group.texture}",
            f"{group.shape} {group.size}",
            f"{count} {group.shape}",
            f"{count} {group.colour}",
        }
    if scene.sign is not None:
        said |= {f"sign {scene.sign.colour}", f"word {scene.sign.word}"}
    if scene.chart is not None:
        colour, value = largest(scene.chart)
        said |= {f"chart {scene.chart.kind}", f"bars {len(scene.chart.values)}", f"most {colour}", f"value {value}"}
    return said


def places(scene: Scene) -> set[str]:
    """Which colour and which shape lies left of, or above, which: seen in any picture, said by few captions."""
    found: set[str] = set()
    for one, relation, other in related(scene):
        found |= {f"{one.colour} {relation} {other.colour}", f"{one.shape} {relation} {other.shape}"}
    return found


def rows(sets: list[set[str]]) -> npt.NDArray[np.float32]:
    """(sets, questions): 1 where yes."""
    table = np.zeros((len(sets), len(_numbers())), dtype=np.float32)
    for row, one in zip(table, sets, strict=True):
        row[[_numbers()[fact] for fact in one if fact in _numbers()]] = 1
    return table


def said_by_all() -> npt.NDArray[np.bool_]:
    """Which questions a caption answers too: all but the places."""
    return np.array([" left " not in fact and " above " not in fact for fact in _numbers()])


@cache
def _numbers() -> dict[str, int]:
    counts = range(1, _COUNTED + 1)
    asked = [f"setting {setting}" for setting in SETTINGS]
    asked += [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
    asked += [f"{shape} {look}" for shape in SHAPES for look in ("plain", "striped", "dotted", "checked")]
    asked += [f"{shape} {size}" for shape in SHAPES for size in ("small", "medium", "large")]
    asked += [f"{count} {name}" for count in counts for name in (*SHAPES, *COLOURS)]
    asked += [f"sign {colour}" for colour in COLOURS] + [f"word {word}" for word in WORDS]
    asked += [f"chart {kind}" for kind in CHARTS] + [f"bars {count}" for count in range(3, 6)]
    asked += [f"most {colour}" for colour in COLOURS] + [f"value {value}" for value in range(1, 10)]
    for relation in ("left", "above"):  # right and below are the same two, named in the other order
        for names in (COLOURS, SHAPES):
            asked += [f"{one} {relation} {other}" for one in names for other in names]
    return {fact: number for number, fact in enumerate(asked)}


QUESTIONS: Final = len(_numbers())
