"""Small texts that become part of a sample: read within bounds, as UTF-8, or refused for the sample's sake."""

from __future__ import annotations

import json
from typing import Any, Final

from sluice.errors import FailureClass
from sluice.sources.listing import read_small

SIDECAR_BYTES: Final = 2**20


class Refused(Exception):  # noqa: N818 - a recorded fact about one sample
    """Why one sample cannot be made whole."""

    def __init__(self, failure_class: FailureClass, message: str) -> None:
        super().__init__(message)
        self.failure: tuple[FailureClass, str] = (failure_class, message)


def read_text(uri: str) -> str:
    """A sidecar as text; `Refused` when it cannot be read."""
    try:
        data = read_small(uri, SIDECAR_BYTES + 1)
    except OSError as error:
        raise Refused("io", f"{uri}: {error.strerror or error}") from error
    if len(data) > SIDECAR_BYTES:
        raise Refused("too_large", f"{uri}: a text of more than {SIDECAR_BYTES:,} bytes")
    return decoded(data, uri)


def decoded(data: bytes, where: str) -> str:
    """Bytes as text (UTF-8, with or without a byte-order mark); `Refused` when they are none."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused("decode", f"{where}: not UTF-8 at byte {error.start:,}; convert it to UTF-8") from error


def loads(text: str | bytes) -> Any:
    """JSON whose texts can all be written as UTF-8; `ValueError` where it is none, or holds half a character."""
    value = json.loads(text)
    escaped = ("\\ud", "\\uD") if isinstance(text, str) else (b"\\ud", b"\\uD")
    if any(escape in text for escape in escaped):  # pyright: ignore[reportOperatorIssue] - both are of the kind of text
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"not valid Unicode: {error.reason}") from error
    return value


def parsed(text: str, where: str) -> Any:
    """JSON of any kind; `Refused` when it is none."""
    try:
        return loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused("decode", f"{where}: malformed JSON: {error}") from error


def parsed_object(text: str, where: str) -> dict[str, Any]:
    """A JSON object; `Refused` when it is none."""
    value = parsed(text, where)
    if not isinstance(value, dict):
        raise Refused("decode", f"{where}: expected a JSON object, found {type(value).__name__}")
    return value
