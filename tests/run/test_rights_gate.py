"""The rights gate in a run: unknown licences fail closed, opt-outs are named, and `what-if` agrees with both."""

from __future__ import annotations

import json

import pytest

import sluice
from sluice.errors import RecipeError, SourceError
from support.corpus import encoded, picture
from support.recipes import write_recipe

MEASURES = ["image.header", "image.phash", "image.content_hash", "text.basic", "rights.licence", "rights.optout"]
ROWS = (
    ("a", "CC BY 4.0", "https://good.example/a.jpg", {}),
    ("b", "cc0", "https://img.shop.example/b.jpg", {}),
    ("c", "all rights reserved", "https://good.example/c.jpg", {}),
    ("d", None, "https://good.example/d.jpg", {}),
    ("e", "ask me", "https://good.example/e.jpg", {}),
    ("f", "CC BY-NC 4.0", "https://good.example/f.jpg", {}),
    ("g", "CC BY 4.0", "https://good.example/g.jpg", {"X-Robots-Tag": "noai"}),
    ("h", "CC0 1.0", "https://good.example/h.jpg?size=1", {}),
)


@pytest.fixture
def source(tmp_path):
    """Eight images with a table: captions, licences, URLs, and what the sites say of robots."""
    folder = tmp_path / "data"
    folder.mkdir()
    with open(folder / "rows.jsonl", "w") as table:
        for number, (name, licence, url, meta) in enumerate(ROWS):
            (folder / f"{name}.jpg").write_bytes(encoded(picture(number)))
            row = {"image": f"{name}.jpg", "caption": f"a picture of {name}", "licence": licence, "url": url, **meta}
            table.write(json.dumps(row) + "\n")
    return [{"type": "table", "path": str(folder / "rows.jsonl")}]


def ran(tmp_path, source, filters, **changes):
    filters = {"reject": {}, **filters}
    options = {"sources": source, "filter": filters, "measures": MEASURES, "run": "run", **changes}
    return sluice.run(write_recipe(tmp_path / "recipe.yaml", "unused", **options))


def rules(run):
    return {row["key"].rpartition("/")[2][:1]: row["rules"] for row in run.samples().to_pylist()}


def keys(run):
    return [row["key"] for row in run.samples("kept").to_pylist()]


def test_only_the_allowed_licences_pass_and_an_unknown_one_does_not(tmp_path, source, inline):
    run = ran(tmp_path, source, {"rights": {"allow": ["CC-BY-4.0", "CC0-1.0"]}})
    assert list(rules(run).values()) == [
        [], [], ["licence_not_allowed"], ["licence_unknown"], ["licence_unknown"], ["licence_not_allowed"], [], [],
    ]  # fmt: skip
    said = run.what_if(["licence_not_allowed: spdx not in ('CC-BY-4.0', 'CC0-1.0', 'CC-BY-NC-4.0')"])
    assert (said.gained, said.lost) == (1, 0)
    story = run.why(next(row["id"] for row in run.samples("rejected").to_pylist()))
    assert "licence_not_allowed" in str(story)
    assert "spdx = LicenseRef-All-Rights-Reserved" in str(story)


@pytest.mark.parametrize(("unknown", "verdict"), [("reject", "rejected"), ("hold", "held"), ("pass", "kept")])
def test_what_an_unknown_licence_means_is_the_recipes_to_say(tmp_path, source, inline, unknown, verdict):
    run = ran(tmp_path, source, {"rights": {"allow": ["CC-BY-4.0"], "unknown": unknown}})
    assert {row["verdict"] for row in run.samples().to_pylist()[3:5]} == {verdict}


def test_opt_outs_of_every_kind_are_named_with_their_entry(tmp_path, source, inline):
    run = ran(tmp_path, source, {})
    table = run.samples().to_pylist()
    measured = {key: run.why(row["id"]).measured[0] for key, row in zip("abcdefgh", table, strict=True)}
    (tmp_path / "domains.txt").write_text("# asked us on 1 May\nshop.example\n")
    (tmp_path / "urls.txt").write_text("http://good.example/h.jpg?size=1\n")
    (tmp_path / "files.txt").write_text(measured["c"]["sha256"] + "\n")
    (tmp_path / "looks.csv").write_text(f"key,phash\nportrait,{measured['d']['phash'] ^ 5:016x}\n")
    lists = [
        {"name": "domains", "path": "domains.txt", "kind": "domains"},
        {"name": "urls", "path": "urls.txt", "kind": "urls"},
        {"name": "files", "path": "files.txt", "kind": "sha256"},
        {"name": "looks", "path": "looks.csv", "kind": "phash", "distance": 2},
    ]
    inline.ran.clear()
    run = ran(tmp_path, source, {"rights": {"opt_out": lists}})
    assert "sluice.run.measuring:measure_unit" not in {function for function, _ in inline.ran}, "no image is looked at"
    assert {key for key, said in rules(run).items() if said == ["opted_out"]} == set("bhcd")
    reasons = {
        key: run.why(row["id"]).stages["01_filtered"]["reasons"][0]["values"]
        for key, row in zip("abcdefgh", table, strict=True)
        if key in "bhcd"
    }
    assert reasons["b"] == {
        "list": "domains", "entry": "shop.example", "value": "https://img.shop.example/b.jpg", "distance": 0,
    }  # fmt: skip
    assert (reasons["h"]["list"], reasons["h"]["entry"]) == ("urls", "http://good.example/h.jpg?size=1")
    assert reasons["c"]["entry"] == measured["c"]["sha256"]
    assert (reasons["d"]["list"], reasons["d"]["entry"], reasons["d"]["distance"]) == ("looks", "portrait", 2)
    assert run.what_if(["dark: brightness < 0"] if "brightness" in measured["a"] else []).lost == 0


def test_a_list_that_grows_is_read_anew_and_one_that_goes_gives_its_samples_back(tmp_path, source, inline):
    (tmp_path / "list.txt").write_text("")
    rights = {"rights": {"opt_out": [{"name": "domains", "path": "list.txt", "kind": "domains"}]}}
    assert len(keys(ran(tmp_path, source, rights))) == 8
    (tmp_path / "list.txt").write_text("shop.example\n")
    assert len(keys(ran(tmp_path, source, rights))) == 7
    run = ran(tmp_path, source, {})
    assert len(keys(run)) == 8
    assert not run.layout.corpus("opted_out").exists()


def test_a_site_that_says_noai_is_heard(tmp_path, source, inline):
    run = ran(tmp_path, source, {"reject": {"no_ai": "noai"}})
    assert {key for key, said in rules(run).items() if said} == {"g"}


@pytest.mark.parametrize(
    ("rights", "says"),
    [
        ({"allow": ["CC-BY"]}, r"'CC-BY' is no SPDX id"),
        ({"allow": ["cc by 4.0"]}, r"did you mean CC-BY-4\.0\?"),
        ({"allow": []}, "rights.allow"),
        ({"unknown": "keep"}, "rights.unknown"),
        ({"opt_out": [{"name": "x", "path": "x.txt", "kind": "hosts"}]}, "rights.opt_out"),
        ({"opt_out": [{"name": "x", "path": "x.txt", "kind": "urls"}] * 2}, "the list 'x' is given twice"),
    ],
)
def test_a_gate_that_makes_no_sense_stops_before_anything_runs(tmp_path, source, inline, rights, says):
    with pytest.raises(RecipeError, match=says):
        ran(tmp_path, source, {"rights": rights})


def test_a_gate_whose_column_nobody_measures_says_which_measure_does(tmp_path, source, inline):
    rights = {"rights": {"opt_out": [{"name": "x", "path": "x.csv", "kind": "phash"}]}}
    with pytest.raises(RecipeError, match=r"opt_out\[?.*no measure writes the column 'phash'; add `image.phash`"):
        ran(tmp_path, source, {**rights, "duplicates": {"near": None}}, measures=["image.header"])
    with pytest.raises(RecipeError, match=r'filter\.rights\.allow.*unknown column "spdx"'):
        ran(tmp_path, source, {"rights": {"allow": ["MIT"]}, "duplicates": {"near": None}}, measures=["image.header"])


def test_a_rule_may_not_take_the_name_of_a_reason_of_the_gate(tmp_path, source, inline):
    with pytest.raises(RecipeError, match="'opted_out' is a reason that `rights` gives"):
        ran(tmp_path, source, {"reject": {"opted_out": "words < 3"}, "rights": {"allow": ["MIT"]}})


def test_a_list_that_cannot_be_read_stops_the_run(tmp_path, source, inline):
    rights = {"opt_out": [{"name": "x", "path": "gone.txt", "kind": "urls"}]}
    with pytest.raises(SourceError, match=r"gone\.txt: cannot be read"):
        ran(tmp_path, source, {"rights": rights})
    assert inline.ran == [], "before anything was measured"
