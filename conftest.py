"""What pytest leaves out where torch is not installed: the modules that import it as they are read."""

from importlib.util import find_spec
from pathlib import Path

_TRAINING = ("train/encoder.py", "train/export.py", "train/restore.py", "train/towers.py", "load/torch_dataset.py")
_HERE = Path(__file__).parent
collect_ignore = [] if find_spec("torch") else [str(_HERE / "src" / "sluice" / name) for name in _TRAINING]


def pytest_report_header() -> str | None:
    """Say it."""
    return f"not read, for torch is not installed: {', '.join(_TRAINING)} of sluice" if collect_ignore else None
