"""Compiles the C files beside it into one shared library; `hatch_build.py` runs this when Sluice is installed.

The compiler is the one that `ziglang` brings as a wheel, so an installation from source needs none of the system's;
`CC=clang` chooses another. After a change of the C files: `make native`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = HERE / ("_kernels.dll" if sys.platform == "win32" else "_kernels.so")
_GLIBC = "2.17"  # what manylinux2014 promises
_BASELINE = {"x86_64": "x86_64_v2"}  # has popcnt; NumPy asks for the same
_FLAGS = ("-O3", "-std=c11", "-shared", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-g0", "-Wall")


class NoCompilerError(Exception):
    """Neither `ziglang` nor a compiler named by CC is there."""


def sources_digest() -> str:
    """What the C files hold, so that a library of earlier ones is not taken for theirs."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in _sources())).hexdigest()[:16]


def _sources() -> list[Path]:
    return sorted(HERE.glob("*.[ch]"))


def compile_kernels(library: Path = LIBRARY) -> Path:
    """Compile all C files into `library`, which changes in one step."""
    half = library.with_name(f"{library.name}.{os.getpid()}.partial")
    sources = [str(path) for path in _sources() if path.suffix == ".c"]
    command = [*_compiler(), *_FLAGS, f'-DSLUICE_SOURCES="{sources_digest()}"', *sources, "-o", str(half)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
        half.replace(library)
    except subprocess.CalledProcessError as error:
        raise NoCompilerError(f"{shlex.join(command)}\n{error.stderr}") from None
    except OSError as error:
        raise NoCompilerError(f"{shlex.join(command)}: {error}") from None
    finally:
        half.unlink(missing_ok=True)
    return library


def wheel_tag() -> str:
    """The tag of a wheel with the library in it: it knows nothing of Python, only of the machine."""
    machine = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    if _zig_target():
        machine = f"manylinux_{_GLIBC.replace('.', '_')}_{platform.machine()}"
    return f"py3-none-{machine}"


def _compiler() -> list[str]:
    named = os.environ.get("CC")
    if named:
        return shlex.split(named)
    if not importlib.util.find_spec("ziglang"):
        raise NoCompilerError("the kernels need a C compiler: pip install ziglang, or name one by CC")
    baseline = _BASELINE.get(platform.machine())
    return [
        *(sys.executable, "-m", "ziglang", "cc"),
        *(("-target", _zig_target()) if _zig_target() else ()),
        *((f"-mcpu={baseline}",) if baseline else ()),
    ]


def _zig_target() -> str:
    """The oldest glibc that the library is to run with; empty where the library is for this machine alone."""
    glibc = sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
    return f"{platform.machine()}-linux-gnu.{_GLIBC}" if glibc and not os.environ.get("CC") else ""


if __name__ == "__main__":
    print(compile_kernels())  # noqa: T201 - a program of its own when run
