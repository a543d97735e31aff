import pytest

from sluice.table.refs import RefReader


@pytest.fixture
def read():
    with RefReader(max_bytes=2**27) as reader:
        yield reader.read
