"""From what a recipe writes to files: braces as bash, globs as glob, local and remote in one order."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import fsspec
import pytest
from braceexpand import braceexpand
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.errors import SourceError
from sluice.sources.braces import expand_braces
from sluice.sources.listing import walk
from sluice.sources.paths import default_name, key_of, list_files

_literal = st.text("ab/.*-", max_size=3)
_choice = st.lists(_literal, min_size=2, max_size=3).map(lambda names: "{" + ",".join(names) + "}")
_number = st.integers(0, 30)
_range = st.tuples(_number, _number, st.sampled_from(["{}", "{:03}"])).map(
    lambda ends: "{" + ends[2].format(ends[0]) + ".." + ends[2].format(ends[1]) + "}"
)
_nested = st.tuples(_choice, _range).map(lambda parts: "{" + parts[0] + "x," + parts[1] + "}")


@settings(deadline=None)  # the machine may be busy
@given(st.lists(_literal | _choice | _range | _nested, max_size=4).map("".join))
def test_braces_expand_as_in_bash(pattern: str) -> None:
    assert expand_braces(pattern) == list(braceexpand(pattern))


@pytest.mark.parametrize("pattern", ["{a..e}", "{e..a}", "{0..10..2}", "x{}y", "{a}", "{,x}", "{-2..2}"])
def test_odd_braces_expand_as_in_bash(pattern: str) -> None:
    assert expand_braces(pattern) == list(braceexpand(pattern, escape=False))


@pytest.mark.parametrize("pattern", ["a{b", "a}b", "{a,b", "}{"])
def test_braces_without_a_partner_are_plain_characters(pattern: str) -> None:
    assert expand_braces(pattern) == [pattern]


def test_braces_that_stand_for_too_much_are_refused() -> None:
    for pattern in ("{0..99999999999}", "{0..9999}{0..9999}"):
        with pytest.raises(SourceError, match=r"stands? for more than"):
            expand_braces(pattern)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a/1.tar", "a/2.tar", "a/b/3.tar", "a/b/c/4.tar", "5.tar", "[6].tar", "a/.hidden/7.tar", "a/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
        with fsspec.open(f"memory://tree/{name}", "wb") as file:
            file.write(b"x")
    return tmp_path


@pytest.mark.parametrize(
    "pattern", ["*.tar", "**/*.tar", "a/*.tar", "a/**/*.tar", "a/?.tar", "*/[12].tar", "a/[!1].tar", "[[]6].tar"]
)
def test_globs_match_as_in_the_standard_library(tree: Path, pattern: str) -> None:
    expected = sorted(glob.glob(f"{tree}/{pattern}", recursive=True))
    assert [file.uri for file in list_files(pattern, tree, (".tar",), "tars")[1]] == expected
    remote = list_files(f"memory://tree/{pattern}", tree, (".tar",), "tars")[1]
    assert [file.uri.removeprefix("memory://tree") for file in remote] == [
        uri.removeprefix(str(tree)) for uri in expected
    ]


def test_a_folder_means_the_files_of_the_format_below_it(tree: Path) -> None:
    root, files = list_files(".", tree, (".tar",), "tars")
    assert root == str(tree)
    assert sorted(key_of(file.uri, root) for file in files) == sorted(
        ["a/1.tar", "a/2.tar", "a/b/3.tar", "a/b/c/4.tar", "5.tar", "[6].tar"]
    )
    assert all(file.size == 1 and file.stamp for file in files)


def test_a_single_file_has_its_folder_as_root(tree: Path) -> None:
    assert list_files("a/b/3.tar", tree, (".tar",), "tars")[0] == f"{tree}/a/b"


def test_what_is_not_there_is_an_error_that_says_what_was_expected(tree: Path) -> None:
    for path in ("none", "none/*.tar", "memory://none"):
        with pytest.raises(SourceError, match="expected shards of tar"):
            list_files(path, tree, (".tar",), "shards of tar")
    with pytest.raises(SourceError, match=r"a/3\.tar: no such file"):
        list_files("a/{1..3}.tar", tree, (".tar",), "tars")
    with pytest.raises(SourceError, match="not a glob"):
        list_files("[z-a].tar", tree, (".tar",), "tars")
    with pytest.raises(SourceError, match="nosuchscheme"):
        list_files("nosuchscheme://x/a.tar", tree, (".tar",), "tars")


def test_local_and_remote_walks_have_one_order(tree: Path) -> None:
    local = [file.uri.removeprefix(str(tree)) for file in walk(str(tree))]
    remote = [file.uri.removeprefix("memory://tree") for file in walk("memory://tree")]
    assert local == remote
    assert local[:2] == ["/5.tar", "/[6].tar"]


def test_links_that_go_round_are_walked_once(tree: Path) -> None:
    os.symlink(tree, tree / "a" / "round")
    os.symlink(tree / "nowhere", tree / "a" / "dangling.tar")
    found = [file for file in walk(str(tree)) if file.uri.endswith(".tar")]
    assert len(found) == 7
    assert [file.size for file in found if "dangling" in file.uri] == [None]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/images/", "images"),
        ("/a/train/*.tar", "train"),
        ("x/**/*.jpg", "x"),
        ("../..", "folder"),
        ("s3://b", "b"),
    ],
)
def test_a_source_is_called_after_its_path(path: str, name: str) -> None:
    assert default_name(path, "folder") == name
