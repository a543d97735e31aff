"""The file that knows its own SHA-256, whatever the system makes of its writes."""

import hashlib
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.pack.receipt import HashedFile


def write(path, parts):
    with HashedFile(path) as file:
        for part in parts:
            assert file.write(part) == len(part)
        assert file.tell() == sum(map(len, parts))
    return file


@given(st.lists(st.integers(0, 40_000).map(lambda size: os.urandom(1) * size), max_size=30))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_holds_what_was_written_and_says_its_hash(tmp_path, parts):
    file = write(tmp_path / "file", parts)
    data = (tmp_path / "file").read_bytes()
    assert data == b"".join(parts)
    assert (file.position, file.sha256, file.closed) == (len(data), hashlib.sha256(data).hexdigest(), True)


def test_more_parts_than_the_system_takes_at_once_are_all_written(tmp_path):
    parts = [b"%d," % number for number in range(5_000)]
    write(tmp_path / "file", parts)
    assert (tmp_path / "file").read_bytes() == b"".join(parts)


@pytest.mark.parametrize("taken", [0, 1, 700, 1_500])
def test_a_write_that_the_system_cuts_short_is_gone_on_with(tmp_path, monkeypatch, taken):
    whole = os.writev
    monkeypatch.setattr(os, "writev", lambda handle, parts: whole(handle, [b"".join(parts)[:taken]]))
    parts = [b"a" * 500, b"b" * 500, b"c" * 501]
    file = write(tmp_path / "file", parts)
    assert (tmp_path / "file").read_bytes() == b"".join(parts)
    assert file.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()
