"""Names by content: what changes them, what does not, and how often a file is read."""

from __future__ import annotations

import builtins
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from sluice.errors import SluiceError
from sluice.models.digest import check_hash, content_hash


def test_the_hash_is_sha256_over_roles_and_contents(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"abc")
    whole = hashlib.sha256()
    for role, data in ((b"config", b"{}"), (b"weights", b"abc")):
        whole.update(len(role).to_bytes(4, "little") + role + hashlib.sha256(data).digest())
    assert content_hash({"weights": tmp_path / "weights", "config": b"{}"}) == whole.hexdigest()[:32]


def test_contents_and_roles_count_and_places_do_not(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"abc")
    (tmp_path / "c").write_bytes(b"abd")
    named = {name: content_hash({"weights": tmp_path / name}) for name in "abc"}
    assert named["a"] == named["b"] != named["c"]
    assert content_hash({"weights": b"abc"}) == named["a"] != content_hash({"config": b"abc"})


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    opened: list[str] = []
    real = builtins.open

    def counted(path: Any, *arguments: Any, **options: Any) -> Any:
        opened.append(str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(builtins, "open", counted)
    first = content_hash({"weights": file})
    assert (content_hash({"weights": file}), opened.count(str(file))) == (first, 1)
    file.write_bytes(b"abd")
    os.utime(file, ns=(1, 1))
    assert content_hash({"weights": file}) != first


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SluiceError, match="absent: cannot be read: No such file"):
        content_hash({"weights": tmp_path / "absent"})


def test_another_hash_than_asked_for_says_both() -> None:
    assert check_hash("a" * 32, None, "x") == check_hash("a" * 32, "a" * 32, "x") == "a" * 32
    with pytest.raises(SluiceError, match=f"x has the hash {'a' * 32}, and {'b' * 32} was asked for"):
        check_hash("a" * 32, "b" * 32, "x")
