"""Models behind one interface each: lazily loaded, named by what they are made of, never downloaded unasked.

A recipe needs only what `config` says of encoders; numpy and the libraries behind an adapter come with the first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluice.models.base import Encoder, Identity, Preprocess, Vectors
    from sluice.models.config import EncoderConfig, PrecomputedConfig
    from sluice.models.load import load_encoder, load_precomputed
    from sluice.models.precomputed import Found, Precomputed

_HOMES = {
    "Encoder": "base",
    "EncoderConfig": "config",
    "Found": "precomputed",
    "Identity": "base",
    "Precomputed": "precomputed",
    "PrecomputedConfig": "config",
    "Preprocess": "base",
    "Vectors": "base",
    "load_encoder": "load",
    "load_precomputed": "load",
}

__all__ = [
    "Encoder",
    "EncoderConfig",
    "Found",
    "Identity",
    "Precomputed",
    "PrecomputedConfig",
    "Preprocess",
    "Vectors",
    "load_encoder",
    "load_precomputed",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sluice.models' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"sluice.models.{_HOMES[name]}"), name)
