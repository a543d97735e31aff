"""Making parts of an image unrecognisable: the one place that writes an image's bytes anew, and only where asked.

What finds faces is given from outside; this only covers what it found. The boxes are in px of the image as it is shown,
after its EXIF orientation, which is how detectors see it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from sluice.errors import SampleFailure
from sluice.media.header import read_header, require_whole
from sluice.media.limits import Limits
from sluice.media.pillow import leashed, open_image

if TYPE_CHECKING:
    from PIL import Image

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom in px."""
Method = Literal["blur", "fill"]
"""`blur`: a smoothed mosaic. `fill`: one colour, the mean of what was there."""

_CELLS: Final = 6  # of the mosaic along a box's longer side: a face in 6 x 6 cells is nobody's
_GROWN: Final = 0.1  # of a box's sides, at each: detectors cut off hair, chin and ears
_FORMATS: Final = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP"}


@dataclass(frozen=True)
class Covering:
    """What is to be covered in an image, and how."""

    boxes: tuple[Box, ...]
    method: Method = "blur"
    share: bool = False  # the boxes are in shares of width and height, not in px
    limits: Limits = Limits()  # noqa: RUF009 - frozen


@dataclass(frozen=True)
class Redaction:
    """What was done to an image, for the ledger: these bytes are no longer those of the source."""

    boxes: tuple[Box, ...]  # px
    method: Method
    format: str
    sha256_before: str
    sha256_after: str
    bytes_before: int
    bytes_after: int

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {**vars(self), "boxes": [list(box) for box in self.boxes]}


def blur_boxes(
    data: bytes,
    boxes: Sequence[Box],
    limits: Limits = Limits(),  # noqa: B008 - frozen
    method: Method = "blur",
) -> bytes:
    """The image with `boxes` made unrecognisable, in its own format; the very same bytes where there are none.

    Each box, grown by a tenth, becomes a mosaic of at most 6 x 6 cells that is then smoothed: unlike a blur it cannot
    be undone, for the detail is gone. A JPEG keeps its quantisation tables and subsampling, so that what lies outside
    the boxes stays within rounding of itself; the ICC profile stays; EXIF and other metadata go, for a thumbnail with
    the face may be in them, and the orientation is applied. Raises SampleFailure for other formats and for animations.
    """
    if not boxes:
        return data
    header = read_header(data, limits)
    require_whole(data, header.format)
    if header.format not in _FORMATS or header.frames > 1:
        what = "an animation" if header.format in _FORMATS else header.format.upper()
        raise SampleFailure("decode", f"{what} cannot be redacted: only still JPEG, PNG and WebP are written anew")
    with leashed(header.format), open_image(data, header.format) as image:
        from PIL import ImageOps

        image.load()
        kept = _kept(image)
        shown = ImageOps.exif_transpose(image)
        # Cells between colours are of no palette, and none may turn into the one colour that stands for transparent.
        if shown.mode in ("P", "1") or "transparency" in shown.info:
            shown = shown.convert("RGBA" if shown.has_transparency_data else "RGB")
        for box in boxes:
            _cover(shown, box, _CELLS if method == "blur" else 1)
        return _encoded(shown, _FORMATS[header.format], kept)


def redacted(
    data: bytes,
    boxes: Sequence[Box],
    limits: Limits = Limits(),  # noqa: B008 - frozen
    method: Method = "blur",
) -> tuple[bytes, Redaction | None]:
    """`blur_boxes`, and what to write down of it; None where nothing was changed."""
    after = blur_boxes(data, boxes, limits, method)
    if after is data:
        return data, None
    return after, Redaction(
        boxes=tuple(boxes),
        method=method,
        format=read_header(after, limits).format,
        sha256_before=hashlib.sha256(data).hexdigest(),
        sha256_after=hashlib.sha256(after).hexdigest(),
        bytes_before=len(data),
        bytes_after=len(after),
    )


def covered(data: bytes, covering: Covering) -> tuple[bytes, Redaction | None]:
    """`redacted`, by a covering whose boxes may be in shares of the image."""
    boxes = covering.boxes
    if boxes and covering.share:
        header = read_header(data, covering.limits)
        wide, high = header.width, header.height
        boxes = tuple((box[0] * wide, box[1] * high, box[2] * wide, box[3] * high) for box in boxes)
    return redacted(data, boxes, covering.limits, covering.method)


def _cover(image: Image.Image, box: Box, most: int) -> None:
    """Smooth a mosaic of at most `most` cells a side over `box`."""
    from PIL import Image as Pillow

    left, top, right, bottom = box
    if not (left < right and top < bottom):
        raise SampleFailure("decode", f"a box from ({left}, {top}) to ({right}, {bottom}) holds nothing")
    more_x, more_y = (right - left) * _GROWN, (bottom - top) * _GROWN
    area = (
        max(0, int(left - more_x)),
        max(0, int(top - more_y)),
        min(image.width, int(right + more_x) + 1),
        min(image.height, int(bottom + more_y) + 1),
    )
    width, height = area[2] - area[0], area[3] - area[1]
    if width <= 0 or height <= 0:
        return  # outside the image: nothing of it is seen
    cell = max(width, height) / most
    cells = max(1, round(width / cell)), max(1, round(height / cell))
    mosaic = image.crop(area).resize(cells, Pillow.Resampling.BOX)
    image.paste(mosaic.resize((width, height), Pillow.Resampling.BICUBIC), area)


def _kept(image: Image.Image) -> dict[str, Any]:
    """How the image was encoded, as far as its format says, and its colour profile."""
    kept: dict[str, Any] = {"icc_profile": image.info["icc_profile"]} if image.info.get("icc_profile") else {}
    if image.format == "JPEG":
        from PIL.JpegImagePlugin import get_sampling

        kept["qtables"] = vars(image)["quantization"]
        sampling = get_sampling(image)
        kept |= {"subsampling": sampling} if sampling >= 0 else {}
        kept |= {"progressive": True} if image.info.get("progressive") else {}
    return kept


def _encoded(image: Image.Image, form: str, kept: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    if form == "WEBP":
        image.save(stream, form, quality=90, method=4, **kept)
    else:
        image.info = {}  # a PNG's text, a comment of a JPEG
        image.save(stream, form, **kept)
    return stream.getvalue()
