"""Formats in: each source turns outside data into raw samples and refs, by reference, in a stable order."""

from sluice.sources.base import Item, RawSample, Rights, Source, SourceFile
from sluice.sources.config import SourceConfig
from sluice.sources.open import open_source

__all__ = ["Item", "RawSample", "Rights", "Source", "SourceConfig", "SourceFile", "open_source"]
