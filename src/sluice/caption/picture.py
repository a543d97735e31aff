"""An image as a service is sent it: its own bytes where it takes them, a scaled JPEG where they are too much."""

from __future__ import annotations

import base64
import hashlib
import io
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from sluice.caption.base import CaptionRequest
from sluice.errors import SampleFailure
from sluice.media.decode import decode, shrink
from sluice.media.header import read_header
from sluice.media.limits import Limits

_AS_THEY_ARE: Final = frozenset({"jpeg", "png", "webp", "gif"})  # the formats that vision services name
_MOST_BYTES: Final = 8 << 20  # of an image sent as it is; services take 10 to 20 MB a request, in base64
_QUALITY: Final = 90


def picture_name(request: CaptionRequest, max_side: int) -> str | None:
    """A name for what `data_url` sends, without decoding anything; None for a request without an image.

    An answer that was paid for is found under it, whichever version of a decoder is installed.
    """
    if request.image is not None:
        digest = hashlib.sha256(request.image).hexdigest()
    elif request.pixels is not None:
        pixels = request.pixels()
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    else:
        return None
    return f"{digest}/{max_side}"


def pixels_of(request: CaptionRequest, max_side: int) -> npt.NDArray[np.uint8]:
    """(height, width, 3), the longer side `max_side` px at most; `SampleFailure` where it cannot be read."""
    if request.pixels is not None:
        pixels = request.pixels()
    elif request.image is not None:
        limits = Limits()
        pixels = decode(request.image, read_header(request.image, limits), max_side, "rgb", limits)
    else:
        raise SampleFailure("decode", "there is no image to describe")
    return shrink(pixels, max_side) if max(pixels.shape[:2]) > max_side else pixels


def data_url(request: CaptionRequest, max_side: int) -> str:
    """The image as a data URL, its longer side `max_side` px at most; `SampleFailure` where it cannot be read.

    Stored bytes go as they are where they are JPEG, PNG, WebP or GIF, upright, still and small enough.
    """
    if request.image is not None:
        header = read_header(request.image, Limits())
        small = max(header.width, header.height) <= max_side and header.bytes <= _MOST_BYTES
        if small and header.format in _AS_THEY_ARE and header.orientation == 1 and header.frames == 1:
            return _url(request.image, header.format)
    stream = io.BytesIO()
    Image.fromarray(pixels_of(request, max_side)).save(stream, "JPEG", quality=_QUALITY, subsampling=0)
    return _url(stream.getvalue(), "jpeg")


def _url(data: bytes, name: str) -> str:
    return f"data:image/{name};base64,{base64.b64encode(data).decode()}"
