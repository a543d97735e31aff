"""Builds the C kernels into the wheel; without a compiler the wheel is made all the same, and NumPy does their work."""

import importlib.util
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class KernelsHook(BuildHookInterface):
    """Compiles before files are collected, in editable installations too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say that the wheel is for this kind of machine."""
        kernels = _load(Path(self.root) / "src/sluice/native/build.py")
        try:
            library = kernels.compile_kernels()
        except kernels.NoCompilerError as error:
            self.app.display_warning(f"Sluice is installed without its C kernels, and slower: {error}")
            return
        build_data["pure_python"] = False
        build_data["tag"] = kernels.wheel_tag()
        build_data["force_include"][str(library)] = f"sluice/native/{library.name}"


def _load(path: Path) -> Any:
    """The module in a file, whose package cannot be imported yet."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
