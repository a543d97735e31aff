"""The tar reader against the standard library's, and against tars made to hurt."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.errors import SourceError
from sluice.sources.tar import Member, members, open_tar

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
_name = st.lists(st.text("abc é.-_", min_size=1, max_size=60), min_size=1, max_size=4).map("/".join)
_plain = _name.filter(lambda name: name == os.path.normpath(name) and ".." not in name.split("/"))


def read(path: Path | str) -> list[Member]:
    with open_tar(str(path)) as tar:
        return list(members(tar))


def write(path: Path, *added: tuple[tarfile.TarInfo | str, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as tar:
        for name, data in added:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def odd(name: str, kind: bytes, linkname: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, linkname
    return info


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(_plain, st.binary(max_size=1200)), max_size=6), st.sampled_from(FORMATS))
def test_members_are_those_that_the_standard_library_finds(tmp_path_factory, files, form) -> None:
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    try:
        write(path, *files, form=form)
    except ValueError:  # ustar cannot hold every name
        return
    data = path.read_bytes()
    with tarfile.open(path) as tar:
        expected = [(info.name, info.offset_data, info.size) for info in tar]
    found = read(path)
    assert [(member.name, member.offset, member.size) for member in found] == expected
    assert all(member.problem is None for member in found)
    assert [data[member.offset : member.offset + member.size] for member in found] == [content for _, content in files]


def test_sizes_in_base_256_and_pax_are_understood(tmp_path: Path) -> None:
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        info = tarfile.TarInfo("huge.bin")
        info.size = 1 << 35
        path = tmp_path / f"{form}.tar"
        with tarfile.open(path, "w", format=form) as tar:
            tar.fileobj.write(info.tobuf(form))
        os.truncate(path, (1 << 35) + 4096)  # sparse on disk
        [member, *_] = read(path)
        assert (member.size, member.problem) == (1 << 35, None)


def test_remote_tars_are_read_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", *((f"{number}.jpg", bytes(number * 100)) for number in range(20)))
    with fsspec.open("memory://tars/a.tar", "wb") as file:
        file.write(path.read_bytes())
    assert read("memory://tars/a.tar") == read(path)


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        ("/etc/passwd.jpg", "absolute path"),
        ("../../up.jpg", "leads out"),
        ("a/../../up.jpg", "leads out"),
        (odd("a.jpg", tarfile.SYMTYPE, "/etc/passwd"), "symbolic link"),
        (odd("a.jpg", tarfile.LNKTYPE, "b.jpg"), "hard link"),
        (odd("a.jpg", tarfile.CHRTYPE), "device"),
        (odd("a.jpg", tarfile.BLKTYPE), "device"),
        (odd("a.jpg", tarfile.FIFOTYPE), "FIFO"),
        (odd("a.jpg", b"M"), "unknown kind"),
    ],
)
@pytest.mark.parametrize("form", FORMATS)
def test_a_hostile_member_is_refused_and_the_next_still_read(tmp_path: Path, info, problem: str, form: int) -> None:
    info = tarfile.TarInfo(info) if isinstance(info, str) else info
    path = write(tmp_path / "a.tar", (info, b""), ("fine.jpg", b"data"), form=form)
    first, second = read(path)
    assert problem in (first.problem or "")
    assert (second.name, second.problem) == ("fine.jpg", None)


def test_sparse_files_are_refused_and_the_next_still_read(tmp_path: Path) -> None:
    header = bytearray(odd("a.jpg", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    header[482] = 1  # its map goes on in the block that follows
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    after = write(tmp_path / "b.tar", ("fine.jpg", b"data")).read_bytes()
    (tmp_path / "a.tar").write_bytes(bytes(header) + bytes(512) + after)
    first, second = read(tmp_path / "a.tar")
    assert first.problem == "is a sparse file"
    assert (second.name, second.problem, second.size) == ("fine.jpg", None, 4)


def test_checksums_of_signed_bytes_are_accepted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", ("é" * 20 + ".jpg", b"data"), form=tarfile.GNU_FORMAT)
    data = bytearray(path.read_bytes())
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(byte - 256 * (byte > 127) for byte in data[:512])
    path.write_bytes(data)
    with tarfile.open(path) as tar:
        assert [member.name for member in read(path)] == tar.getnames()


def test_folders_are_no_members(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", (odd("folder", tarfile.DIRTYPE), b""), ("folder/a.jpg", b"x"))
    assert [member.name for member in read(path)] == ["folder/a.jpg"]


def _resized(declared: int) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        info = tarfile.TarInfo("b.jpg")
        info.size = declared
        data[1024:1536] = info.tobuf(tarfile.GNU_FORMAT)[:512]

    return change


def _cut(data: bytearray) -> None:
    del data[1600:]


def _cut_between(data: bytearray) -> None:
    del data[2048:]


def _garbage(data: bytearray) -> None:
    data[2048:2560] = b"\xff" * 512


def _joined(data: bytearray) -> None:
    data += bytes(data)


@pytest.mark.parametrize(
    ("change", "names", "message"),
    [
        (_resized(1 << 62), ["a.jpg", "b.jpg"], "declares 4,611,686,018,427,387,904 bytes"),
        (_cut, ["a.jpg", "b.jpg"], "the shard ends after 64 of them"),
        (_cut_between, ["a.jpg", "b.jpg", "@2048"], "no end-of-archive marker"),
        (_garbage, ["a.jpg", "b.jpg", "@2048"], "holds garbage at byte 2,048"),
        (_joined, ["a.jpg", "b.jpg", "c.jpg", "@3072"], "were shards joined?"),
    ],
)
def test_a_shard_that_breaks_off_says_where(tmp_path: Path, change, names: list[str], message: str) -> None:
    path = write(tmp_path / "a.tar", *((f"{name}.jpg", bytes(100)) for name in "abc"), form=tarfile.GNU_FORMAT)
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    found = read(path)
    assert [member.name for member in found] == names
    assert [member.problem is None for member in found] == [True] * (len(names) - 1) + [False]
    assert found[-1].last and message in (found[-1].problem or "")


def test_an_endless_extended_header_is_not_read(tmp_path: Path) -> None:
    info = odd("././@LongLink", b"L")
    info.size = 1 << 33
    data = info.tobuf(tarfile.GNU_FORMAT) + bytes(4096)
    (tmp_path / "a.tar").write_bytes(data)
    [member] = read(tmp_path / "a.tar")
    assert member.last and "extended header of 8,589,934,592 bytes" in (member.problem or "")


@pytest.mark.parametrize("records", [b"99 path=x\n", b"5 path=", b"xx path=x\n", b"11 size=-1\n", b"0 path=b\n"])
def test_a_malformed_pax_header_spoils_its_member_alone(tmp_path: Path, records: bytes) -> None:
    path = write(
        tmp_path / "a.tar", (odd("x", b"x"), records), ("a.jpg", b"1"), ("b.jpg", b"2"), form=tarfile.USTAR_FORMAT
    )
    first, second = read(path)
    assert first.problem == "its pax header is malformed"
    assert second == Member("b.jpg", second.offset, 1, header=second.offset - 512)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty; expected a tar"),
        (b"\x1f\x8b" + bytes(600), "compressed with gzip.*decompress it first"),
        (b"\xff\xd8\xff" * 400, "is no tar"),
        (b"short", "is no tar"),
    ],
)
def test_what_is_no_tar_is_an_error(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(SourceError, match=message):
        read(tmp_path / "a.tar")


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_no_bytes_whatever_lead_outside_the_file(tmp_path_factory, data) -> None:
    folder = tmp_path_factory.mktemp("tar")
    path = write(
        folder / "a.tar", *((f"{name}.jpg", bytes(600)) for name in "abc"), form=data.draw(st.sampled_from(FORMATS))
    )
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content))) :]
    path.write_bytes(content)
    try:
        found = read(path)
    except SourceError:
        return
    for member in found:
        assert member.problem is not None or member.offset + member.size <= len(content)
        member.name.encode()
