"""pyarrow's compute functions. They are made when the module is imported, so a type checker cannot see them: `Any`.

Making them takes as long as many a question about a run: that is put off until one of them is called.
"""

from __future__ import annotations

from typing import Any, Final


class _Compute:
    """`pyarrow.compute`, imported when something of it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        import pyarrow.compute

        found = getattr(pyarrow.compute, name)
        setattr(self, name, found)  # asked once
        return found


pc: Final[Any] = _Compute()
