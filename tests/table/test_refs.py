"""Reading by ref: bounded, in place, every failure with a class and the file's name."""

from __future__ import annotations

import io
import os
import random
import tarfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.errors import SampleFailure
from sluice.table.refs import Ref, RefReader, local_uri

LIMIT = 1 << 20


def failure(ref: Ref, limit: int = LIMIT) -> str:
    with RefReader(limit) as reader, pytest.raises(SampleFailure) as caught:
        reader.read(ref)
    assert ref.uri in str(caught.value)
    return caught.value.failure_class


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    data = os.urandom(100_000)
    path = tmp_path / "bild ä.jpg"
    path.write_bytes(data)
    with RefReader(LIMIT) as reader:
        assert reader.read(Ref("file", str(path))) == data
        assert reader.read(Ref("file", str(path), size=len(data))) == data


def test_what_is_no_file_fails_as_io_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    for name in ("missing.jpg", "fifo.jpg", "", "nul\0.jpg"):
        assert failure(Ref("file", f"{tmp_path}/{name}")) == "io"
    assert failure(Ref("file", "/dev/zero")) == "io"


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.jpg"
    path.touch()
    os.truncate(path, 1 << 40)
    assert failure(Ref("file", str(path))) == "too_large"
    assert failure(Ref("file", str(path), size=1 << 40)) == "too_large"
    assert failure(Ref("tar", str(path), "a.jpg", 0, 1 << 39)) == "too_large"


def test_a_name_that_is_not_utf8_can_be_written_and_read(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9 %41.jpg"
    with open(path, "wb") as file:
        file.write(b"bytes")
    uri = local_uri(os.fsdecode(path))
    uri.encode()
    with RefReader(LIMIT) as reader:
        assert reader.read(Ref("file", uri)) == b"bytes"


def test_tar_members_are_read_by_their_range(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(5):
            info = tarfile.TarInfo(f"{number}.jpg")
            info.size = 700 * number
            tar.addfile(info, io.BytesIO(bytes([number]) * info.size))
    with tarfile.open(path) as tar, RefReader(LIMIT) as reader:
        for member in tar:
            ref = Ref("tar", str(path), member.name, member.offset_data, member.size)
            assert reader.read(ref) == tar.extractfile(member).read()


@pytest.mark.parametrize(("offset", "size"), [(0, 11), (10, 1), (-1, 2), (0, -1), (None, 1), (0, None)])
def test_a_range_that_is_not_there_fails_as_io(tmp_path: Path, offset: int | None, size: int | None) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"0123456789")
    assert failure(Ref("tar", str(path), "a.jpg", offset, size)) == "io"


def test_few_shards_are_open_at_a_time_and_none_after(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with RefReader(LIMIT) as reader:
        for number in range(50):
            path = tmp_path / f"{number}.tar"
            path.write_bytes(b"x" * 10)
            assert reader.read(Ref("tar", str(path), "m", 3, 4)) == b"xxxx"
        assert len(os.listdir("/proc/self/fd")) - before < 20
    assert len(os.listdir("/proc/self/fd")) == before


def test_remote_files_and_ranges_are_read_through_fsspec() -> None:
    with fsspec.open("memory://refs/a.tar", "wb") as file:
        file.write(b"0123456789" * 10)
    with RefReader(LIMIT) as reader:
        assert reader.read(Ref("file", "memory://refs/a.tar")) == b"0123456789" * 10
        assert reader.read(Ref("tar", "memory://refs/a.tar", "m", 12, 3)) == b"234"
    assert failure(Ref("file", "memory://refs/a.tar"), limit=99) == "too_large"
    assert failure(Ref("tar", "memory://refs/a.tar", "m", 95, 10)) == "io"
    assert failure(Ref("file", "memory://refs/none")) == "io"
    assert failure(Ref("tar", "memory://refs/none", "m", 0, 1)) == "io"
    assert failure(Ref("file", "nosuchscheme://refs/none")) == "io"


def _cells(rows: int) -> list[bytes | None]:
    random.seed(rows)
    return [None if row % 7 == 3 else random.randbytes(random.randrange(3000)) for row in range(rows)]


def _table(cells: list[bytes | None]) -> pa.Table:
    structs = [None if cell is None else {"bytes": cell, "path": f"{len(cell)}.jpg"} for cell in cells]
    lists = [
        None if cell is None else [{"bytes": b"first", "path": None}, {"bytes": cell, "path": None}] for cell in cells
    ]
    raw = [None if cell is None else [cell] for cell in cells]
    return pa.table(
        {"image": cells, "hf": structs, "images": lists, "raw": raw, "image.bytes": cells, "n": range(len(cells))}
    )


def _files(folder: Path, table: pa.Table) -> list[tuple[str, str]]:
    pq.write_table(table, folder / "a.parquet", row_group_size=130)
    with pa.ipc.new_file(folder / "file.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=64)
    with pa.ipc.new_stream(folder / "stream.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=64)
    for name in ("a.parquet", "file.arrow", "stream.arrow"):
        with fsspec.open(f"memory://refs/{name}", "wb") as copy:
            copy.write((folder / name).read_bytes())
    local = [("parquet", "a.parquet"), ("arrow", "file.arrow"), ("arrow", "stream.arrow")]
    return [(kind, f"{root}/{name}") for kind, name in local for root in (str(folder), "memory://refs")]


@pytest.mark.parametrize("member", ["image", "hf.bytes", "images[1].bytes", "raw[0]", "image.bytes"])
def test_cells_are_read_in_any_order(tmp_path: Path, member: str) -> None:
    cells = _cells(500)
    order = [*range(500), *random.Random(0).sample(range(500), 60)]
    for kind, uri in _files(tmp_path, _table(cells)):
        with RefReader(LIMIT) as reader:
            for row in order:
                expected = cells[row]
                if expected is not None:
                    assert reader.read(Ref(kind, uri, member, row)) == expected
                    continue
                with pytest.raises(SampleFailure, match=f"row {row:,}"):
                    reader.read(Ref(kind, uri, member, row))


def test_cells_that_cannot_be_had_say_why(tmp_path: Path) -> None:
    for kind, uri in _files(tmp_path, _table(_cells(50))):
        for member, row in (("image", 50), ("image", -1), ("none", 0), ("images[2].bytes", 0), ("n", 0), (None, 0)):
            assert failure(Ref(kind, uri, member, row)) == "io", (uri, member, row)
        assert failure(Ref(kind, uri, "images[1].bytes", 1), limit=1) == "too_large"
    (tmp_path / "no.parquet").write_bytes(b"PAR1 nothing of the kind")
    assert failure(Ref("parquet", f"{tmp_path}/no.parquet", "image", 0)) == "io"
    assert failure(Ref("arrow", f"{tmp_path}/no.parquet", "image", 0)) == "io"
    assert failure(Ref("arrow", f"{tmp_path}/none.arrow", "image", 0)) == "io"


def test_a_damaged_page_costs_its_rows_only(tmp_path: Path) -> None:
    cells = [bytes([row]) * 5_000 for row in range(40)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": cells}), path, row_group_size=10, compression="zstd", use_dictionary=False)
    group = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    data[group.data_page_offset + 40 : group.data_page_offset + 60] = b"\xff" * 20
    path.write_bytes(data)
    got: list[int] = []
    with RefReader(LIMIT) as reader:
        for row in range(40):
            try:
                assert reader.read(Ref("parquet", str(path), "image", row)) == cells[row]
                got.append(row)
            except SampleFailure as error:
                assert error.failure_class == "io"
    assert set(range(40)) - set(got) <= set(range(10, 20))
    assert len(got) < 40
