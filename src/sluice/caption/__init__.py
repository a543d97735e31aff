"""Captions for images that have none or poor ones: captioners, what they cost, which caption wins, and variations.

A recipe needs only what `config` says; numpy and the libraries behind a captioner come with the first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluice.caption.base import Caption, Captioner, CaptionerIdentity, CaptionOutcome, CaptionRequest
    from sluice.caption.cache import AnswerCache
    from sluice.caption.config import CaptionerConfig
    from sluice.caption.load import load_captioner
    from sluice.caption.plugin import captioner

_HOMES = {
    "AnswerCache": "cache",
    "Caption": "base",
    "CaptionOutcome": "base",
    "CaptionRequest": "base",
    "Captioner": "base",
    "CaptionerConfig": "config",
    "CaptionerIdentity": "base",
    "captioner": "plugin",
    "load_captioner": "load",
}

__all__ = [
    "AnswerCache",
    "Caption",
    "CaptionOutcome",
    "CaptionRequest",
    "Captioner",
    "CaptionerConfig",
    "CaptionerIdentity",
    "captioner",
    "load_captioner",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sluice.caption' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"sluice.caption.{_HOMES[name]}"), name)
