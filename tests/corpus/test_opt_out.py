"""Opt-out lists: what an entry means, and that the same is found as by looking at each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.corpus.opt_out import domain_key, load_opt_out, opted_out, url_key
from sluice.errors import SourceError

SHA = "a" * 64


def listed(tmp_path: Path, text: str, kind, name: str = "list.txt", **options):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return load_opt_out("mine", path, kind, **options)


def test_a_domain_stands_for_its_subdomains_and_for_no_other(tmp_path: Path) -> None:
    found = listed(tmp_path, "# ours\nexample.org\n*.Shop.example\nbücher.example\n", "domains")
    urls = {
        "https://example.org/a.jpg": "example.org",
        "http://img.cdn.EXAMPLE.org:8080/a": "example.org",
        "https://notexample.org/a": None,
        "https://example.org.evil.com/": None,
        "https://a.com/?u=example.org": None,
        "https://x@example.org/": "example.org",
        "https://shop.example/": "*.Shop.example",
        "https://xn--bcher-kva.example/a": "bücher.example",
        "https://bücher.example/a": "bücher.example",
        "http://[bad": None,
        "no url": None,
    }
    hits = {place: entry for place, entry, _ in opted_out(found, list(urls))}
    assert [hits.get(place) for place in range(len(urls))] == list(urls.values())
    assert list(opted_out(found, [None])) == []


def test_a_url_is_the_same_with_and_without_what_does_not_matter(tmp_path: Path) -> None:
    found = listed(tmp_path, "https://Example.org/a.jpg?x=1\nhttp://example.org\n", "urls")
    same = ["http://example.org/a.jpg?x=1", "https://example.org:443/a.jpg?x=1#top", "https://example.org/"]
    other = ["https://example.org/a.jpg", "https://example.org/A.jpg?x=1", "https://www.example.org/", None]
    assert [place for place, _, _ in opted_out(found, [*same, *other])] == [0, 1, 2]


def test_hashes_are_met_whatever_their_letter_case(tmp_path: Path) -> None:
    found = listed(tmp_path, f"{SHA.upper()}\n", "sha256")
    assert list(opted_out(found, [SHA, "b" * 64, None])) == [(0, SHA.upper(), 0)]


def test_lists_may_be_tables(tmp_path: Path) -> None:
    pq.write_table(pa.table({"sha256": [SHA, None], "who": ["x", "y"]}), tmp_path / "list.parquet")
    assert load_opt_out("mine", tmp_path / "list.parquet", "sha256").entries == {SHA: SHA}
    assert listed(tmp_path, "domain,since\nexample.org,2024\n", "domains", "list.csv").entries.keys() == {"example.org"}


@pytest.mark.parametrize(
    ("text", "kind", "name", "says"),
    [
        (
            "example.org\nnot a domain\n",
            "domains",
            "list.txt",
            "line 2: 'not a domain' is not what a list of kind `domains`",
        ),
        ("example.org/path\n", "domains", "list.txt", "line 1"),
        ("a.jpg\n", "urls", "list.txt", "line 1: 'a.jpg'"),
        ("abc\n", "sha256", "list.txt", "line 1: 'abc'"),
        ("name\nx\n", "sha256", "list.csv", "expected a column `sha256`, found name"),
    ],
)
def test_an_entry_that_is_none_stops_the_run(tmp_path: Path, text: str, kind, name: str, says: str) -> None:
    with pytest.raises(SourceError, match=says) as told:
        listed(tmp_path, text, kind, name)
    assert name in str(told.value)


def test_a_list_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.txt: cannot be read"):
        load_opt_out("mine", tmp_path / "gone.txt", "urls")


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20), st.data())
def test_perceptual_hashes_are_met_within_the_distance_and_not_beyond(
    tmp_path_factory, hashes: list[int], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("list") / "list.csv"
    path.write_text("phash,key\n" + "".join(f"{one:016x},k{place}\n" for place, one in enumerate(hashes)))
    bits = data.draw(st.sets(st.integers(0, 63), max_size=8))
    near = hashes[0]
    for bit in bits:
        near ^= 1 << bit
    found = load_opt_out("mine", path, "phash", distance=4)
    hits = list(opted_out(found, [None, near]))
    nearest = min((int.bit_count(near ^ one), place) for place, one in enumerate(hashes))
    assert [(place, distance) for place, _, distance in hits] == ([(1, nearest[0])] if nearest[0] <= 4 else [])


@given(st.text(max_size=40))
def test_any_text_has_a_key_or_none(text: str) -> None:
    for key in (url_key(text), domain_key(text)):
        assert key is None or key


@given(st.from_regex(r"https?://[a-z]{1,8}\.(org|com)(:80)?(/[a-z0-9]{0,6}){0,3}(\?[a-z]=[0-9])?", fullmatch=True))
def test_the_key_of_a_url_is_its_own(url: str) -> None:
    key = url_key(url)
    assert key is not None
    assert url_key(f"https://{key}") == key


def test_lists_that_say_the_same_have_the_same_name(tmp_path: Path) -> None:
    one = listed(tmp_path, "a.org\nb.org\n", "domains", "one.txt")
    two = listed(tmp_path, "b.org\n# more\na.org\n\n", "domains", "two.txt")
    three = listed(tmp_path, "a.org\n", "domains", "three.txt")
    assert one.fingerprint == two.fingerprint != three.fingerprint
    assert np.array_equal(one.hashes, two.hashes)
