"""pyarrow's compute functions. They are made when pyarrow is imported, so a type checker cannot see them: `Any`."""

from __future__ import annotations

from typing import Any, Final

import pyarrow.compute

pc: Final[Any] = pyarrow.compute
