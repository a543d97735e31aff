"""Printed matter in a scene: a sign with a word, a chart on a sheet."""

from __future__ import annotations

from functools import cache
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from sluice.synth.palette import ink
from sluice.synth.scene import Chart, Sign

_DARK_BOARDS: Final = ("blue", "green", "red", "black")
_PAPER: Final = (247, 246, 241)
_LINE: Final = (70, 72, 78)


def sign_card(sign: Sign, short: int) -> Image.Image:
    """The board of `sign` with its word, RGBA, turned; `short` is the picture's shorter side in px."""
    wide = round(sign.side * short)
    high = round(wide * 0.36)
    board = Image.new("RGBA", (wide * 2, high * 2))
    draw = ImageDraw.Draw(board)
    letters = (246, 245, 240) if sign.colour in _DARK_BOARDS else (30, 32, 38)
    edge = max(2, wide // 40)
    draw.rounded_rectangle((0, 0, wide * 2 - 1, high * 2 - 1), radius=high // 3, fill=(*ink(sign.colour), 255))
    draw.rounded_rectangle(
        (edge * 2, edge * 2, wide * 2 - 1 - edge * 2, high * 2 - 1 - edge * 2),
        radius=high // 4,
        outline=(*letters, 255),
        width=edge,
    )
    size = high * 1.2
    font = _font(round(size))
    room = wide * 2 - edge * 12
    if (long := draw.textlength(sign.word, font)) > room:
        font = _font(max(8, round(size * room / long)))
    draw.text((wide, high), sign.word, fill=(*letters, 255), font=font, anchor="mm", stroke_width=max(1, wide // 130))
    return board.reduce(2).rotate(sign.turn, Image.Resampling.BILINEAR, expand=True)


def chart_card(chart: Chart, short: int) -> Image.Image:
    """The sheet of `chart`, RGBA, turned; `short` is the picture's shorter side in px."""
    side = round(chart.side * short)
    sheet = Image.new("RGBA", (side, side), (*_PAPER, 255))
    draw = ImageDraw.Draw(sheet)
    edge = side * 0.1
    if chart.kind == "pie":
        start, total = -90.0, sum(chart.values)
        for colour, value in zip(chart.colours, chart.values, strict=True):
            stop = start + 360 * value / total
            draw.pieslice(
                (edge, edge, side - edge, side - edge), start, stop, fill=(*ink(colour), 255), outline=_PAPER, width=2
            )
            start = stop
    else:
        step = (side - 2 * edge) / len(chart.values)
        for number, (colour, value) in enumerate(zip(chart.colours, chart.values, strict=True)):
            left = edge + step * (number + 0.16)
            top = side - edge - (side - 2.4 * edge) * value / 9
            draw.rectangle((left, top, left + step * 0.68, side - edge), fill=(*ink(colour), 255))
            draw.text(
                (left + step * 0.34, top - 2), str(value), fill=_LINE, font=_font(max(8, side // 16)), anchor="mb"
            )
        for mark in range(10):
            y = side - edge - (side - 2.4 * edge) * mark / 9
            draw.line((edge * 0.8, y, edge, y), fill=_LINE)
        draw.line((edge, edge * 0.8, edge, side - edge, side - edge * 0.7, side - edge), fill=_LINE, width=2)
    return sheet.rotate(chart.turn, Image.Resampling.BILINEAR, expand=True)


@cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
