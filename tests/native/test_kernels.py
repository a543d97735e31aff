"""The C kernels: built by the installation, never used when they are not those of the sources."""

import shutil

import pytest

from sluice import native
from sluice.native import build, calling


@pytest.fixture(autouse=True)
def forget():
    calling.forget()
    yield
    calling.forget()


def test_an_installation_builds_them():
    assert native.kernels() is not None, "pip install --editable . (or make native) builds src/sluice/native"


def test_numpy_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("SLUICE_KERNELS", "numpy")
    assert native.kernels() is None


@pytest.mark.parametrize("gives", [calling.NUMBER, calling.OBJECT])
def test_a_kernel_is_looked_for_once_and_again_after_forgetting(monkeypatch, gives):
    kernel = calling.bound("hamming_wide", gives=gives)
    assert kernel() is kernel() is not None
    monkeypatch.setenv("SLUICE_KERNELS", "numpy")
    assert kernel() is not None
    calling.forget()
    assert kernel() is None


def test_a_library_of_other_sources_is_not_used(monkeypatch, tmp_path):
    for path in build.HERE.glob("*.[ch]"):
        shutil.copy(path, tmp_path)
    (tmp_path / "kernels.h").write_text("/* changed */")
    monkeypatch.setattr(build, "HERE", tmp_path)
    assert native.kernels() is None


def test_a_missing_library_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "none.so")
    assert native.kernels() is None


def test_without_a_compiler_it_says_which_to_install(monkeypatch, tmp_path):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(build.NoCompilerError, match="pip install ziglang"):
        build.compile_kernels(tmp_path / "kernels.so")


@pytest.mark.skipif(not shutil.which("cc"), reason="no compiler named cc")
def test_a_compiler_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "cc")
    assert build.compile_kernels(tmp_path / "kernels.so").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == ["kernels.so"]
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "kernels.so")
    assert native.kernels() is not None


@pytest.mark.skipif(not shutil.which("cc"), reason="no compiler named cc")
def test_what_a_compiler_refuses_is_told(monkeypatch, tmp_path):
    (tmp_path / "wrong.c").write_text("this is not C")
    monkeypatch.setenv("CC", "cc")
    monkeypatch.setattr(build, "HERE", tmp_path)
    with pytest.raises(build.NoCompilerError, match=r"wrong\.c"):
        build.compile_kernels(tmp_path / "kernels.so")
