"""Our tar against Python's `tarfile`."""

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.pack import tar

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/\n", exclude_categories=["Cs"]), min_size=1)


def ours(members):
    sink = io.BytesIO()
    for name, data in members:
        sink.writelines(tar.member_parts(name, data))
    tar.write_end(sink, sink.tell())
    return sink.getvalue()


def theirs(members, format):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=format) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return sink.getvalue()


@given(st.lists(st.tuples(st.text("abcdef0123456789.", max_size=99).map("x{}".format), st.binary(max_size=2000))))
def test_plain_members_give_the_bytes_that_tarfile_gives(members):
    assert ours(members) == theirs(members, tarfile.USTAR_FORMAT)


@settings(max_examples=60)
@given(st.lists(st.tuples(NAMES.map(lambda name: "x" + name * 7 + "x"), st.binary(max_size=600)), max_size=4))
def test_any_name_gives_the_bytes_that_tarfile_gives_with_pax(members):
    assert ours(members) == theirs(members, tarfile.PAX_FORMAT)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=2000)), max_size=6))
def test_members_are_read_back_where_they_lie(members):
    data = ours(members)
    found = list(tar.read_members(io.BytesIO(data)))
    assert [(m.name, data[m.offset : m.offset + m.size]) for m in found] == members
    assert [m.header for m in found[1:]] == [m.end for m in found[:-1]]


def test_a_member_past_eight_gibibytes_gets_a_pax_size():
    size = 9 * 2**30
    info = tarfile.TarInfo.frombuf(tar.header("big.bin", 5), "utf-8", "strict")
    assert info.size == 5
    file = io.BytesIO(tar.header("big.bin", size))
    with tarfile.open(fileobj=file, mode="r|") as archive:
        assert archive.next().size == size


def test_every_cut_of_a_tar_is_noticed():
    data = ours([("a.txt", b"hello"), ("b.txt", b"x" * 700)])
    needed = len(data) - (len(data) - 2 * 512 - 512 - 512 - 512 - 1024)  # where the two zero blocks end
    for cut in [0, 100, 512, 600, 1024, 1536, 2000, 2560, needed - 512, needed - 1]:
        with pytest.raises(tar.TarError):
            list(tar.read_members(io.BytesIO(data[:cut])))


@given(st.integers(0, 511), st.integers(1, 255))
def test_every_flipped_header_byte_is_noticed(place, flip):
    data = bytearray(ours([("a.txt", b"hello")]))
    data[place] ^= flip
    try:
        members = list(tar.read_members(io.BytesIO(bytes(data))))
    except tar.TarError:
        return
    # the checksum field's own ending may read as the same number
    assert 148 <= place < 156 and [(m.name, m.size) for m in members] == [("a.txt", 5)]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.LNKTYPE])
def test_what_is_no_regular_file_is_refused(kind):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        info = tarfile.TarInfo("evil")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(tar.TarError):
        list(tar.read_members(sink))


@given(
    files=st.lists(st.tuples(st.text("abcß./", min_size=1, max_size=150), st.binary(max_size=700)), max_size=4),
    cut=st.integers(1, 600),
)
def test_the_members_within_a_stretch_are_those_of_the_whole_tar(files, cut):
    data = b"".join(b"".join(tar.member_parts(name, body)) for name, body in files)
    assert tar.members_within(data) == list(tar.read_members(io.BytesIO(data + bytes(1024))))
    for damaged in (data + bytes(512), data[:-cut], data[: len(data) // 2] + b"\xff" + data[len(data) // 2 + 1 :]):
        try:
            found = tar.members_within(damaged)
        except tar.TarError:
            continue
        assert found == tar.members_within(data)[: len(found)]  # cut between two members, or damaged in a body
