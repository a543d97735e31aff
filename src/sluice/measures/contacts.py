"""URLs, e-mail addresses and phone numbers in a text. Every pattern runs in time linear in the text's length."""

from __future__ import annotations

import re
from typing import Final

# An address is found from its @ backwards and forwards: starting at its first letter would make "aaaa..." quadratic.
_EMAIL: Final = re.compile(r"(?<=[\w.+-])@(?:[\w-]{1,63}\.)+[A-Za-z]{2,24}(?![\w@])")

# Domains without http:// or www. count where the ending is one that no sentence could produce ("end.It was").
_GENERIC: Final = r"(?:com|org|net|edu|gov|biz)(?:\.[a-z]{2})?|co\.(?:uk|jp|kr|in|il|nz|za)"
_COUNTRY: Final = "de|fr|es|cn|jp|uk|us|it|nl|ru|br|in|at|ch|be|pl|se|eu|io|tv|me|co|kr|tw|ca|au|info|shop|app|dev"
_URL: Final = re.compile(
    r"(?:https?|ftp)://[^\s<>\"]+"
    r"|(?<![\w@.-])www\.[\w-]+\.[\w-][^\s<>\"]*"
    rf"|(?<=[a-z0-9])\.(?-i:{_GENERIC})(?![\w@-]|\.\w)(?:/[^\s<>\"]*)?"
    rf"|(?<=[a-z0-9])\.(?:{_COUNTRY})/[^\s<>\"]*",
    re.IGNORECASE,
)

# Digits with at most two separators between them, as numbers of all sorts are written.
_NUMBERS: Final = re.compile(r"(?<![\w.,:/-])[+(]?\d(?:[ \u00a0().\-/\u2010-\u2013]{0,3}\d){5,16}(?![\w:]|[.,/-]\d)")
_CUE: Final = re.compile(
    r"(?:\b(?:tele(?:ph|f)on[eo]?|tel|t[ée]l|ph(?:one)?|call|fax|mobile?|m[óo]vil|handy|whatsapp|hotline)|电话|手机|電話)"
    r"\s*[.:：#]?\s*(?:us\s*(?:at|on)?|at|no\.?|nr\.?|number)?\s*[:：]?\s*$",
    re.IGNORECASE,
)
_SHAPES: Final = re.compile(
    r"\+[1-9][\d ().\-/\u00a0]{6,22}"  # +49 30 123456
    r"|00[1-9]\d[ \-/][\d ().\-/]{6,20}"  # 0049 30 123456
    r"|(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}"  # (555) 234-5678, 555-234-5678
    r"|\(0\d{1,4}\) ?\d[\d \-/]{4,12}"  # (030) 123456
    r"|0[1-9]\d{1,3}[ \-/]\d{3,4}[ -]?\d{3,5}"  # 030 123456, 0171-1234567, 020 7946 0958
    r"|0[1-9](?:[ .]\d\d){4}"  # 01 23 45 67 89
    r"|1[3-9]\d[ -]\d{4}[ -]\d{4}"  # 138 1234 5678
)


def count_urls(text: str) -> int:
    """Addresses with a scheme or `www.`, and bare domains with an unmistakable ending.

    >>> count_urls("see https://a.org/b, www.x.de or shop.com today"), count_urls("The end.It was red.")
    (3, 0)
    """
    if "." not in text and "://" not in text:
        return 0
    if "@" in text:
        text = _EMAIL.sub(" ", text)
    return sum(1 for _ in _URL.finditer(text))


def count_emails(text: str) -> int:
    """E-mail addresses.

    >>> count_emails("ann@example.org or @ann")
    1
    """
    return sum(1 for _ in _EMAIL.finditer(text)) if "@" in text else 0


def count_phones(text: str) -> int:
    """Phone numbers: in an international or a common national form, or any number after a word such as "tel".

    Years, dates, sizes, prices, ids and other long numbers do not count.

    >>> count_phones("call (555) 234-5678 or +49 30 1234567"), count_phones("1920x1080, 2021-01-01, 12345678")
    (2, 0)
    """
    count = 0
    for match in _NUMBERS.finditer(text):
        number = match[0]
        if number.startswith("(") and ")" not in number:
            number = number[1:]
        digits = sum(map(str.isdecimal, number))
        cued = digits <= 15 and _CUE.search(text[max(0, match.start() - 24) : match.start()])
        if cued or (8 <= digits <= 15 and _SHAPES.fullmatch(number)):
            count += 1
    return count
