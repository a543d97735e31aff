"""Chinese captions and questions (simplified): every noun with its measure word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sluice.synth.scene import Chart, Group, Relation, Scene, Sign
from sluice.synth.tongues.base import Question, Tongue, absent_colour, asked, largest, lone, related

NUMBERS: Final = ("没有", "一", "两", "三", "四", "五", "六", "七")  # before a measure word two is 两
COLOURS: Final = {
    "red": "红色",
    "blue": "蓝色",
    "green": "绿色",
    "yellow": "黄色",
    "orange": "橙色",
    "purple": "紫色",
    "pink": "粉色",
    "brown": "棕色",
    "white": "白色",
    "black": "黑色",
}
NOUNS: Final = {  # measure word, noun
    "ball": ("个", "球"),
    "cube": ("个", "方块"),
    "cone": ("个", "圆锥"),
    "star": ("颗", "星星"),
    "heart": ("颗", "爱心"),
    "ring": ("个", "圆环"),
    "mug": ("个", "杯子"),
    "vase": ("个", "花瓶"),
    "flower": ("朵", "花"),
    "fish": ("条", "鱼"),
    "car": ("辆", "玩具车"),
    "umbrella": ("把", "雨伞"),
}
_SIZES: Final = {"small": "小", "large": "大", "medium": ""}
_TEXTURES: Final = {"plain": "", "striped": "条纹", "dotted": "圆点", "checked": "格子"}
_PLACES: Final = {
    "meadow": "草地上",
    "beach": "海滩上",
    "snow": "雪地里",
    "street": "砖墙前",
    "table": "木桌上",
    "room": "木地板上",
    "cloth": "一块布上",
    "sand": "有波纹的沙地上",
    "marble": "大理石板上",
    "water": "清澈的水里",
    "planks": "木板上",
    "lawn": "草坪上",
}
_LIGHTS: Final = {"evening": "温暖的夕阳下", "overcast": "阴天里"}
_RELATIONS: Final[dict[Relation, str]] = {"left": "左边", "right": "右边", "above": "上方", "below": "下方"}


def _things(group: Group) -> str:
    measure, noun = NOUNS[group.shape]
    look = COLOURS[group.colour] + _TEXTURES[group.texture]
    return f"{NUMBERS[group.count]}{measure}{look}的{_SIZES[group.size]}{noun}"


def _listed(parts: list[str]) -> str:
    return "和".join(("、".join(parts[:-1]), parts[-1])) if len(parts) > 1 else parts[0]


def _sign(sign: Sign) -> str:
    return f"一块写着“{sign.word}”的{COLOURS[sign.colour]}牌子"


def _chart(chart: Chart, place: str) -> Iterator[str]:
    colour, value = largest(chart)
    count = NUMBERS[len(chart.values)]
    if chart.kind == "bars":
        parts = "、".join(f"{COLOURS[c]}{v}" for c, v in zip(chart.colours, chart.values, strict=True))
        yield f"{place}有一张柱状图，图中有{count}根柱子，{COLOURS[colour]}的柱子最高，数值是{value}。"
        yield f"{place}放着一张印好的柱状图，数值分别是{parts}。"
    else:
        yield f"{place}有一张分成{count}块的饼图，{COLOURS[colour]}的那一块最大。"
        yield f"{place}放着一张印好的饼图，颜色有{_listed([COLOURS[c] for c in chart.colours])}。"


def _sentences(scene: Scene) -> Iterator[str]:
    place = _PLACES[scene.setting]
    if scene.chart is not None:
        yield from _chart(scene.chart, place)
        return
    parts = [_things(group) for group in scene.groups]
    if scene.sign is not None:
        parts = [_sign(scene.sign), *parts]
    things = _listed(parts)
    yield f"{place}有{things}。"
    yield f"照片里，{place}有{things}。"
    yield f"在{place}可以看到{things}。"
    if scene.light in _LIGHTS:
        yield f"{_LIGHTS[scene.light]}，{place}有{things}。"
    if scene.sign is None and len(scene.groups) == 2:
        for one, relation, other in related(scene):
            yield f"{place}，{_things(one)}在{_things(other)}的{_RELATIONS[relation]}。"


def _questions(scene: Scene) -> Iterator[Question]:
    for group in scene.groups:
        measure, noun = NOUNS[group.shape]
        colour, wrong = COLOURS[group.colour], COLOURS[absent_colour(scene, group.shape)]
        yield Question("count", f"图中有几{measure}{colour}的{noun}？", str(group.count))
        yield Question("yes_no", f"图中有{colour}的{noun}吗？", "有")
        yield Question("yes_no", f"图中有{wrong}的{noun}吗？", "没有")
    for group in lone(scene):
        yield Question("colour", f"{NOUNS[group.shape][1]}是什么颜色的？", COLOURS[group.colour])
    for one, relation, other in related(scene):
        for claim, holds in asked(relation):
            text = f"{_things(one)}是在{_things(other)}的{_RELATIONS[claim]}吗？"
            yield Question("relation", text, "是" if holds else "不是")
    if scene.sign is not None:
        yield Question("reading", "牌子上写着什么？", scene.sign.word)
    if scene.chart is not None:
        most, count = ("最高的柱子", "几根柱子") if scene.chart.kind == "bars" else ("最大的那一块", "几块")
        yield Question("chart", f"{most}是什么颜色的？", COLOURS[largest(scene.chart)[0]])
        yield Question("chart", f"这张图有{count}？", str(len(scene.chart.values)))


CHINESE: Final = Tongue("zh", _sentences, _questions)
