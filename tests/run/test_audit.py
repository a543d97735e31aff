"""An audit: drawn alike each time, read from the shards, judged by a person, of these shards and of no others."""

import csv
import io
import json
import random
import shutil

import pyarrow.parquet as pq
import pytest

import sluice
from sluice.cli import main
from sluice.errors import RunError, SluiceError
from sluice.run.audit.drawing import draw_audit
from sluice.run.audit.judgements import read_judgements
from sluice.run.audit.result import judge_audit
from sluice.run.audit.sample import draw
from sluice.run.takedown_command import Request, take_down
from support.finished import copy_of, finish
from support.recipes import write_recipe


@pytest.fixture(scope="module")
def finished(tmp_path_factory, corpus, launcher):
    return finish(tmp_path_factory.mktemp("audit"), corpus, launcher)


@pytest.fixture
def run(tmp_path, finished, inline):
    """A finished run of one's own."""
    return sluice.Run.open(copy_of(finished, tmp_path))


def lines_of(audit):
    return list(csv.DictReader(io.StringIO((audit.folder / "sheet.csv").read_text("utf-8-sig"), newline="")))


def filled(audit, verdicts, path=None, delimiter=","):
    """The sheet with `verdicts` (by number: verdict, cause, note) filled in."""
    rows = lines_of(audit)
    for row in rows:
        row.update(zip(("verdict", "cause", "note"), verdicts.get(int(row["number"]), ("", "", "")), strict=True))
    path = path or audit.folder / "sheet.csv"
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def code_of(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(part) for part in arguments])
    return ended.value.code


def test_who_is_drawn_follows_from_ids_seed_and_size_alone():
    packed = [(f"{number:04}", ("train" if number % 9 else "val", "ab"[number % 2])) for number in range(500)]
    shuffled = random.Random(0).sample(packed, len(packed))
    drawn = draw(["split", "source"], packed, 3, 60)
    assert draw(["split", "source"], shuffled, 3, 60) == drawn
    assert {id for id, _ in draw(["split", "source"], packed, 4, 60).rows} != {id for id, _ in drawn.rows}
    assert len(drawn.rows) == 60
    assert len({id for id, _ in drawn.rows}) == 60


def test_every_image_comes_out_of_the_shards_as_it_went_in(run, corpus):
    audit = draw_audit(run, 30)
    rows = lines_of(audit)
    assert len(rows) == audit.drawn == 30
    assert {row["shard"].partition("/")[0] for row in rows} == {"webdataset", "parquet"}
    keys = {row["id"]: row["key"] for row in pq.read_table(run.layout.manifest).to_pylist()}
    for row in rows:
        source = corpus / keys[row["id"]]
        assert (audit.folder / row["images"]).read_bytes() == source.read_bytes()
        assert row["texts"].split("\n")[0] in source.with_suffix(".json").read_text()
        assert row["problem"] == ""


def test_each_stratum_is_drawn_from_and_a_small_run_is_drawn_whole(run):
    packed = pq.read_table(run.layout.manifest).to_pylist()
    assert {row["split"] for row in lines_of(draw_audit(run, 6))} == {"train", "val"}
    assert {row["id"] for row in lines_of(draw_audit(run, 10_000))} == {row["id"] for row in packed}


def test_drawing_again_leaves_what_a_person_wrote(run):
    audit = draw_audit(run, 8)
    path = filled(audit, {1: ("ok", "", "")})
    before = path.read_bytes()
    again = draw_audit(run, 8)
    assert (again.new, path.read_bytes()) == (False, before)


def test_a_drawing_that_was_cut_off_is_made_again(run):
    audit = draw_audit(run, 8)
    whole = (audit.folder / "sheet.csv").read_bytes()
    (audit.folder / "sample.json").unlink()
    (audit.folder / "sheet.csv").unlink()
    assert draw_audit(run, 8).new
    assert (audit.folder / "sheet.csv").read_bytes() == whole


def test_what_is_wrong_in_a_shard_is_seen(run):
    rows = [row for row in pq.read_table(run.layout.manifest).to_pylist() if row["format"] == "webdataset"]
    first, second = (row for row in rows if row["shard"] == rows[0]["shard"] and row["index"] < 2)
    shard = run.layout.final / first["shard"]
    data = bytearray(shard.read_bytes())
    data[first["image_offset"] + 40] ^= 255  # a byte of the image
    data[second["offset"] + 3] ^= 255  # a byte of a tar header
    shard.write_bytes(data)
    for parquet in run.layout.final.glob("parquet/*/*"):
        parquet.write_bytes(b"no Parquet at all")
    audit = draw_audit(run, 10_000)
    problems = {row["id"]: row["problem"] for row in lines_of(audit)}
    shards = {row["id"]: row["shard"] for row in lines_of(audit)}
    assert len(problems) == len(rows)  # none is lost for being damaged
    for id, said in problems.items():
        if shards[id].startswith("parquet"):
            assert said.startswith("cannot be read from its shard")
        elif id in (first["id"], second["id"]):
            assert said
        else:
            assert said == ""
    assert audit.problems == sum(map(bool, problems.values())) > 0


def test_rates_weigh_strata_and_unjudged_rows_are_counted(run, capsys):
    audit = draw_audit(run, 20)
    rows = lines_of(audit)
    wrong = {
        int(rows[3]["number"]): ("Error ", "alignment", "another dog"),
        int(rows[9]["number"]): ("error", "image", ""),
    }
    said = {int(row["number"]): ("ok", "", "") for row in rows[:15]} | wrong
    path = filled(audit, said)
    assert code_of("audit", run.layout.root, "--verdicts", path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["judged"], found["unjudged"], found["errors"]) == (15, 5, 2)
    assert found["causes"] == {"image": 1, "text": 0, "alignment": 1, "packing": 0}
    assert sorted(one["note"] for one in found["found"]) == ["", "another dog"]
    strata = [one for one in found["strata"] if one["judged"]]
    known = sum(one["size"] for one in strata)
    assert found["rate"] == pytest.approx(sum(one["size"] / known * one["errors"] / one["judged"] for one in strata))
    assert found["low"] <= found["rate"] <= found["high"]
    assert json.loads((audit.folder / "result.json").read_text()) == found
    assert code_of("audit", run.layout.root, "--verdicts", path) == 0
    assert "not judged: 5 of 20 samples" in capsys.readouterr().out


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_sheet_that_another_country_s_spreadsheet_saved_is_read(run, tmp_path, delimiter):
    audit = draw_audit(run, 6)
    path = filled(audit, {2: ("ok", "", "a; b, c")}, tmp_path / "other.csv", delimiter)
    assert [row.note for row in read_judgements(path).rows if row.verdict] == ["a; b, c"]


def test_judgements_may_come_as_json(run, tmp_path):
    audit = draw_audit(run, 6)
    rows = [{"audit": r["audit"], "id": r["id"], "verdict": "ok", "cause": None} for r in lines_of(audit)]
    (tmp_path / "said.json").write_text(json.dumps(rows))
    assert judge_audit(run, tmp_path / "said.json").rate == 0


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (("fine", "", ""), "verdict: 'fine' is neither `ok` nor `error`"),
        (("error", "", ""), "cause: is empty"),
        (("error", "colour", ""), "cause: 'colour' is none of image, text, alignment, packing"),
        (("ok", "image", ""), "cause: 'image' goes with the verdict `error`"),
        (("", "image", ""), "cause: 'image' goes with the verdict `error`"),
    ],
)
def test_a_bad_value_is_named_with_its_file_line_and_field(run, capsys, said, complaint):
    audit = draw_audit(run, 6)
    path = filled(audit, {4: said})
    lines = path.read_text("utf-8-sig").splitlines()
    id = lines_of(audit)[3]["id"]
    place = next(number for number, line in enumerate(lines, 1) if id in line)
    assert code_of("audit", run.layout.root, "--verdicts", path) == 2
    assert f"{path}:line {place}: {complaint}" in capsys.readouterr().err
    assert not (audit.folder / "result.json").exists()


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.csv", "id,verdict\n1,ok\n", "line 1: audit, cause, note: no such column"),
        ("a.csv", "audit,id,verdict,cause,note\n", "holds no row"),
        ("a.csv", "audit,id,verdict,cause,note\nx@y,1,ok\n", "line 2: has 3 fields"),
        ("a.csv", "audit,id,verdict,cause,note\nx,1,ok,,\n", "names no audit"),
        ("a.csv", 'audit,id,verdict,cause,note\n"x', "line 2: no CSV"),
        ("a.json", "{", "no JSON"),
        ("a.json", "{}", "must be a list"),
        ("a.json", '[{"audit": "0-1@x", "id": 7}]', "row 1: id: must be a text"),
        ("a.json", '[{"audit": "0-1@x", "id": "7", "verdict": true}]', "row 1: verdict: must be a text"),
    ],
)
def test_a_file_that_is_no_sheet_is_refused_with_a_sentence(run, tmp_path, name, text, complaint):
    (tmp_path / name).write_text(text)
    with pytest.raises(SluiceError, match=complaint) as caught:
        judge_audit(run, tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_sample_judged_twice_or_never_drawn_is_refused(run, tmp_path):
    audit = draw_audit(run, 6)
    rows = [{"audit": r["audit"], "id": r["id"], "verdict": "ok"} for r in lines_of(audit)]
    path = tmp_path / "said.json"
    path.write_text(json.dumps([*rows, rows[0]]))
    with pytest.raises(SluiceError, match=r"row 7: id: .* was judged before, in row 1"):
        judge_audit(run, path)
    path.write_text(json.dumps([*rows, {**rows[0], "id": "f" * 32}]))
    with pytest.raises(SluiceError, match="was not drawn for this audit"):
        judge_audit(run, path)


def test_judgements_of_other_shards_are_stale_and_are_not_thrown_away(run, tmp_path, corpus):
    audit = draw_audit(run, 6)
    path = filled(audit, {1: ("ok", "", "")})
    judge_audit(run, path)
    again = sluice.run(write_recipe(tmp_path / "recipe.yaml", corpus, split={"train": 0.5, "val": 0.5}))
    with pytest.raises(SluiceError, match="stale"):
        judge_audit(again, path)
    with pytest.raises(RunError, match="holds judgements of what was packed before"):
        draw_audit(again, 6)
    assert draw_audit(again, 7).new


def test_a_takedown_takes_the_sample_out_of_audits_too(run, tmp_path):
    audit, other = draw_audit(run, 10_000), draw_audit(run, 1)
    shown = lines_of(other)[0]["id"]
    gone = next(row for row in lines_of(audit) if row["id"] != shown)
    copy = shutil.copy(audit.folder / "sheet.csv", tmp_path / "sheet.csv")
    (tmp_path / "ids").write_text(gone["id"])
    take_down(run, Request(ids=tmp_path / "ids"))
    left = b"".join(path.read_bytes() for path in run.layout.audits.rglob("*") if path.is_file())
    assert gone["texts"].encode() not in left
    assert not audit.folder.exists()
    assert other.folder.exists()
    with pytest.raises(SluiceError, match="stale"):
        judge_audit(run, tmp_path / copy)


def test_a_caption_is_no_formula_and_no_markup(tmp_path, corpus, inline):
    source = tmp_path / "images"
    shutil.copytree(corpus, source)
    (source / "part0" / "0000.json").write_text(json.dumps({"captions": ['=HYPERLINK("http://x.example")<script>x']}))
    run = sluice.run(write_recipe(tmp_path / "recipe.yaml", source))
    audit = draw_audit(run, 10_000)
    (row,) = [row for row in lines_of(audit) if "HYPERLINK" in row["texts"]]
    assert row["texts"].startswith("'=HYPERLINK")
    page = (audit.folder / "sheet.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;x" in page


def test_a_run_that_is_not_finished_is_not_audited(tmp_path, recipe, inline):
    run = sluice.run(recipe(), only="01_filtered")
    with pytest.raises(RunError, match="04_final is not finished"):
        draw_audit(run, 5)
