"""Importing what is optional, late, and saying which `pip install` mends it where it is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from sluice.errors import MissingExtraError, SluiceError


def optional(module: str, feature: str, extra: str, name: str | None = None) -> ModuleType:
    """The module, imported now, or what it calls `name`. It is untyped: annotate what is taken out of it."""
    try:
        imported = importlib.import_module(module)
        return imported if name is None else getattr(imported, name)
    except ModuleNotFoundError as error:
        if error.name is None:  # transformers says so of a class whose own imports fail
            raise _unfit(module, feature, extra, error) from error
        raise MissingExtraError(f"{feature} ({error.name} is not installed)", extra) from error
    except (ImportError, RuntimeError, OSError) as error:
        # torchvision beside a torch of another build ends here: "operator torchvision::nms does not exist"
        raise _unfit(module, feature, extra, error) from error


def _unfit(module: str, feature: str, extra: str, error: Exception) -> SluiceError:
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    return SluiceError(
        f"{feature}: the package {module} is installed and cannot be imported: {type(root).__name__}: {root}. What it "
        f"needs does not fit together: pip install --force-reinstall 'sluice[{extra}]'"
    )
