"""Formats in: each source turns outside data into raw samples and refs, by reference, in a stable order.

A recipe needs only what `config` says of sources; the readers themselves are imported when the first is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice.sources.config import SourceConfig

if TYPE_CHECKING:
    from sluice.sources.base import Item, RawSample, Rights, Source, SourceFile
    from sluice.sources.open import open_source

__all__ = ["Item", "RawSample", "Rights", "Source", "SourceConfig", "SourceFile", "open_source"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'sluice.sources' has no attribute {name!r}")
    import importlib

    home = "sluice.sources.open" if name == "open_source" else "sluice.sources.base"
    return getattr(importlib.import_module(home), name)
