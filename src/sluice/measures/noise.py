"""What a crawl leaves in a text that nobody wrote: mark-up, wrongly decoded characters, the names of files."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# Only names that HTML has: `<image>` is LLaVA's placeholder, `<person>` an anonymiser's, and both belong there.
_ELEMENTS: Final = (
    "a|abbr|article|aside|audio|b|big|blockquote|body|br|button|caption|center|cite|code|dd|del|div|dl|dt|em|embed"
    "|figcaption|figure|font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|label|li|link|main|mark"
    "|meta|nav|noscript|object|ol|option|p|pre|q|s|script|section|select|small|source|span|strike|strong|style|sub"
    "|sup|svg|table|tbody|td|textarea|tfoot|th|thead|title|tr|tt|u|ul|var|video|wbr"
)
_TAG: Final = re.compile(rf"</?(?:{_ELEMENTS})(?:\s*/?>|\s+[a-z-]+\s*=)|<!--|<!doctype\b", re.IGNORECASE)
_ENTITY: Final = re.compile(r"&(?:#\d{1,7};|#x[0-9a-f]{1,6};|(?:nbsp|amp|quot|lt|gt)\b|([a-z][a-z0-9]{1,31};))", re.I)

# Where ftfy could find anything: a character that occurs in mojibake after another or after a Greek or Cyrillic
# letter, or one that is suspicious alone. Its own pattern costs 20 us, this one 1 us; a test holds it against ftfy.
_ODD: Final = "\xa0-\u0390\u0400-\u040f\u0450\u0452-\u045f\u0490-\u0491\u2000-\u25ff\uf8ff\ufb01\ufb02\ufffd"
_MAYBE_MOJIBAKE: Final = re.compile(f"[{_ODD}\u0391-\u03ff\u0410-\u0451][{_ODD}]|[\x80-\x9fÃÂ\u0152\u0153]")
_LOST: Final = ("\ufffd", "锟斤拷")  # U+FFFD, and its UTF-8 bytes read as GBK

_EXTENSION: Final = (
    r"\.(?:jpe?g|jfif|png|gif|webp|bmp|tiff?|hei[cf]|avif|svg|psd|raw|cr[23]|nef|arw|dng|orf|rw2|mp4|mov|avi|pdf)"
)
_SERIAL: Final = r"[ _-]?\(?\d{2,}[\w()-]*"
_CAMERA: Final = (
    r"(?:img|imgp|imag|dscn?|dscf|dscp|dsci|dcp|dcim|pict|mvi|vid|pano|gopr|dji|pxl|cimg|hpim|sany|fb_img|burst"
    r"|mmexport|_mg|_dsc|screenshot|photo|image|pic|picture|scan|bild|foto|imagen)"
)
_HEX: Final = r"(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{16,64})"
_CLOCK: Final = r"(?:[ ,_t-]*(?:at|um|à|às|a las|alle)?[ _]*\d{1,2}[.:h_-]?\d\d(?:[.:m_-]?\d\d)?(?:[ _]?[ap]\.?m\.?)?)?"
_DAY: Final = r"(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d"

_NAMELESS: Final = (
    "untitled|unnamed|unbenannt|ohne titel|sans[ _-]titre|sin[ _-]t[íi]tulo|dcim|screenshot|无标题|未命名"
)

# A file name that is recognised inside a longer text too.
_FILE: Final = re.compile(
    r"(?<!\w)(?:file:\s?)?(?:"
    rf"[^\s<>\"]{{1,120}}{_EXTENSION}\b"
    r"|(?:img|imgp|dsc[fnip]?|dcim|pict|mvi|gopr|dji|pxl|cimg|hpim|_mg|_dsc|fb_img|mmexport|imag)[_-]?\d{3,}[\w-]*"
    rf"|{_HEX}"
    rf"|(?:screen[ _-]?shots?|screen[ _-]?capture|bildschirmfoto|capture d[’'_ ]?[ée]cran|captura de pantalla|截图|截屏"
    rf"|屏幕截图|屏幕快照|微信图片|whatsapp[ _-]image|signal|photo|image|img|vid)[ _-]?{_DAY}{_CLOCK}"
    r")(?:\s?\(\d{1,3}\))?(?!\w)"
)
# A text that is nothing but the name a device, a program or a site gives to a file.
_WHOLE: Final = re.compile(
    rf"(?:file:\s?)?(?:{_CAMERA}{_SERIAL}|{_CAMERA}[ _-]?\(?\d{{1,4}}\)?|\d{{6,}}(?:[_-]\w{{1,12}})*"
    rf"|{_DAY}{_CLOCK}|[0-9a-f]{{12,}}|[a-z]{{1,4}}[_-]?\d{{5,}}"
    rf"|(?:{_NAMELESS})(?:[ _-]*\(?\d+\)?)?|(?:download|thumb(?:nail)?|file|copy|temp|index)[ _-]*\(?\d{{1,4}}\)?"
    r")(?:\s?\(\d{1,3}\)|[ _-]?cop(?:y|ia)|[ _-]?kopie)?"
)
_MAYBE_FILE: Final = re.compile(rf"\d|\.[a-z]|{_NAMELESS}")
_WORDLIKE: Final = re.compile(r"[^\W\d_]{2,}")
_TRIM: Final = " \t\r\n\"'`.,;:!?[]{}«»“”„‘’"


def has_html(text: str) -> bool:
    """Whether tags or character references are left in the text.

    >>> has_html("red<br>cube"), has_html("fish &amp;amp; chips"), has_html("R&D says a < b")
    (True, True, False)
    """
    if "<" in text and _TAG.search(text):
        return True
    if "&" not in text:
        return False
    return any(match[1] is None or match[1] in _html5() for match in _ENTITY.finditer(text))


@cache
def _html5() -> dict[str, str]:
    from html.entities import html5

    return html5


def has_mojibake(text: str) -> bool:
    """Whether characters were decoded with the wrong encoding, or were lost in decoding.

    >>> has_mojibake("WÃ¼rfel"), has_mojibake("voilà, œuvre, Größe")
    (True, False)
    """
    if text.isascii():
        return False
    if any(mark in text for mark in _LOST):
        return True
    return bool(_MAYBE_MOJIBAKE.search(text)) and _is_bad()(text)


@cache
def _is_bad() -> Callable[[str], bool]:
    from ftfy.badness import is_bad  # 80 ms to import; most runs of a worker never need it

    return is_bad


def is_file_name(text: str) -> bool:
    """Whether the text is the name of a file, or a file name with at most two words beside it.

    >>> is_file_name("IMG_1234.jpg"), is_file_name("red cube, see IMG_1234.jpg for the other side")
    (True, False)
    """
    if len(text) > 200:
        return False  # a name with so much around it is not what the text is about
    folded = text.strip(_TRIM).lower()
    if not _MAYBE_FILE.search(folded):
        return False
    if _WHOLE.fullmatch(folded):
        return True
    if not _FILE.search(folded):
        return False
    return len(_WORDLIKE.findall(_FILE.sub(" ", folded))) <= 2
