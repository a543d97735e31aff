"""What pytest leaves out where torch and its kin are not installed: the modules that import them as they are read."""

from importlib.util import find_spec
from pathlib import Path

_HERE = Path(__file__).parent
_NEEDS = {
    "torch": [
        *(f"src/sluice/train/{name}.py" for name in ("dual", "encoder", "export", "restore", "towers")),
        "src/sluice/load/torch_dataset.py",
        "tests/support/ranks.py",
        "tests/support/to_onnx.py",
    ],
    "open_clip": ["tests/support/converted.py"],
}
_LEFT_OUT = {package: names for package, names in _NEEDS.items() if find_spec(package) is None}
collect_ignore = [str(_HERE / name) for names in _LEFT_OUT.values() for name in names]


def pytest_report_header() -> list[str]:
    """Say it."""
    return [f"not read, for {package} is not installed: {', '.join(names)}" for package, names in _LEFT_OUT.items()]
