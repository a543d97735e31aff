"""The gate: each check with its evidence, what is not known said to be so, and an exit code that CI can read."""

import csv
import io
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sluice
from sluice.cli import main
from sluice.errors import RecipeError, RunError
from sluice.run.audit.drawing import draw_audit
from sluice.run.audit.result import judge_audit
from sluice.run.gate.gating import gate
from sluice.run.recipe import recipe_from
from support.corpus import encoded, picture
from support.finished import copy_of, finish
from support.folders import differing, tree_digest
from support.recipes import QUICK_MEASURES, RULES, recipe_values, write_recipe

MEASURES = [*QUICK_MEASURES, "text.pii", "rights.licence", "rights.optout"]
GATE = {"min_kept": 20}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, corpus, launcher):
    return finish(tmp_path_factory.mktemp("gate"), corpus, launcher, measures=MEASURES, gate=GATE)


@pytest.fixture
def run(tmp_path, finished, inline):
    """A finished run of one's own."""
    return sluice.Run.open(copy_of(finished, tmp_path))


@pytest.fixture
def asking(run, tmp_path, corpus):
    """The same run with another `gate` in its recipe."""

    def asked(**fields):
        changes = {"measures": MEASURES, **fields.pop("recipe", {})}
        return sluice.run(write_recipe(tmp_path / "recipe.yaml", corpus, gate=fields, **changes))

    return asked


def checks(run, **options):
    return {check.check: check for check in gate(run, **options).checks}


def code_of(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(part) for part in arguments])
    return ended.value.code


def test_a_good_run_goes_and_the_last_line_says_so(run, capsys):
    assert code_of("gate", run.layout.root) == 0
    out = capsys.readouterr().out
    assert out.rstrip().splitlines()[-1] == "verdict: go"
    for heading in ("cost", "compliance", "sampling", "traceability"):
        assert f"\n{heading} " in out


def test_a_no_go_has_exit_code_3_and_json_says_what_stops_it(asking, capsys):
    run = asking(min_kept=1000)
    assert code_of("gate", run.layout.root, "--json", "--fast") == 3
    said = json.loads(capsys.readouterr().out)
    assert said["verdict"] == "no-go"
    assert [one["check"] for one in said["checks"] if one["stops"]] == ["kept"]
    assert code_of("gate", run.layout.root, "--fast") == 3
    assert capsys.readouterr().out.rstrip().endswith("verdict: no-go (sampling, kept)")


def test_asking_changes_nothing_and_a_changed_gate_makes_no_stage_again(run, asking):
    before = tree_digest(run.layout.root)
    gate(run)
    assert differing(before, tree_digest(run.layout.root)) == []
    again = asking(min_kept=21, require_audit=True)
    assert differing(before, tree_digest(again.layout.root)) == ["recipe.lock.yaml"]


@pytest.mark.parametrize(
    ("fields", "check", "state"),
    [
        ({"max_seconds_per_kept": 1e-6}, "seconds", "no-go"),
        ({"max_seconds_per_kept": 1e6}, "seconds", "go"),
        ({"max_cost_per_kept": 0}, "money", "go"),
        ({"licences": ["CC0-1.0"]}, "licences", "no-go"),
        ({"opt_outs": ["our-inbox"]}, "opt-outs", "unknown"),
        ({"contamination": ["test-set"]}, "contamination", "unknown"),
        ({"safety": {"listed_terms": 0}}, "listed_terms", "unknown"),
        ({"require_audit": True}, "audit", "unknown"),
        ({"min_kept": 1000}, "kept", "no-go"),
    ],
)
def test_each_requirement_is_held_against_what_was_found(asking, fields, check, state):
    run = asking(**fields)
    found = checks(run, fast=True)[check]
    assert (found.state, found.stops) == (state, state != "go")
    assert found.limit
    assert bool(found.how) == (state != "go")
    assert gate(run, fast=True).go == (state == "go")


def test_what_the_recipe_does_not_require_may_be_unknown(run):
    found = checks(run, fast=True)
    assert {name for name, check in found.items() if check.state == "unknown"} == {
        "audit", "contamination", "checksums",
    }  # fmt: skip
    assert not any(check.stops for check in found.values())


def test_seconds_that_nobody_told_are_unknown(asking):
    run = asking(max_seconds_per_kept=1e6)
    run.layout.events.unlink()
    found = checks(run, fast=True)["seconds"]
    assert (found.state, found.stops) == ("unknown", True)


def test_personal_data_and_unsafe_columns_are_counted_in_what_is_packed(tmp_path, inline):
    folder = tmp_path / "data"
    folder.mkdir()
    captions = ("a red bus", "write to jane.doe@example.org for more", "a green tree", "a quiet lake")
    with open(folder / "rows.jsonl", "w") as table:
        for number, caption in enumerate(captions):
            (folder / f"{number}.jpg").write_bytes(encoded(picture(number)))
            meta = {"X-Robots-Tag": "noai"} if number > 1 else {}
            table.write(json.dumps({"image": f"{number}.jpg", "caption": caption, "licence": "CC0", **meta}) + "\n")
    source = [{"type": "table", "path": str(folder / "rows.jsonl")}]
    fields = {"sources": source, "measures": MEASURES, "filter": {}}
    run = sluice.run(write_recipe(tmp_path / "recipe.yaml", "unused", **fields))
    found = checks(run, fast=True)
    assert found["personal data"].details["samples"] == 1
    assert found["noai"].details["samples"] == 2
    assert found["personal data"].stops
    assert found["noai"].stops
    lenient = {"max_pii": 1, "safety": {"noai": 2}}
    assert gate(sluice.run(write_recipe(tmp_path / "recipe.yaml", "unused", **fields, gate=lenient)), fast=True).go
    rules = {"reject": {"personal": "pii > 0", "no_ai": "noai"}}
    mended = sluice.run(write_recipe(tmp_path / "recipe.yaml", "unused", **{**fields, "filter": rules}))
    assert gate(mended).go


def test_a_column_that_no_measure_writes_fails_closed(recipe, inline):
    run = sluice.run(recipe())
    decision = gate(run, fast=True)
    assert {check.check for check in decision.checks if check.stops} == {"personal data", "noai"}
    assert "add text.pii to `measures`" in str(decision)
    assert gate(sluice.run(recipe(gate={"max_pii": None, "safety": {}})), fast=True).go


def test_reference_sets_and_opt_out_lists_count_once_they_were_held_against(tmp_path, corpus, asking):
    (tmp_path / "inbox.txt").write_text("host1.example\n")
    references = tmp_path / "test-set"
    references.mkdir()
    shutil.copy(corpus / "part0" / "0000.jpg", references)
    filters = {
        "reject": dict(RULES),
        "rights": {"opt_out": [{"name": "inbox", "path": "inbox.txt", "kind": "domains"}]},
        "duplicates": {"against": [{"name": "test-set", "source": {"type": "folder", "path": str(references)}}]},
    }
    run = asking(contamination=["test-set"], opt_outs=["inbox"], recipe={"filter": filters})
    found = checks(run)
    assert (found["contamination"].state, found["contamination"].details["rejected"]) == ("go", 1)
    assert found["opt-outs"].state == "go"
    assert found["opt-outs"].details["rejected"] > 0


def judged(run, errors, size=10_000):
    """An audit in which the first `errors` samples err."""
    audit = draw_audit(run, size)
    rows = list(csv.DictReader(io.StringIO((audit.folder / "sheet.csv").read_text("utf-8-sig"), newline="")))
    said = [
        {**row, "verdict": "error" if place < errors else "ok", "cause": "text" if place < errors else ""}
        for place, row in enumerate(rows)
    ]
    path = audit.folder / "sheet.json"
    path.write_text(json.dumps(said))
    return judge_audit(run, path)


def test_an_audit_passes_by_the_upper_end_of_its_interval(asking):
    run = asking(require_audit=True, max_error_rate=0.3)
    assert checks(run, fast=True)["audit"].stops
    result = judged(run, 0)
    assert checks(run, fast=True)["audit"].state == "go"
    strict = asking(require_audit=True, max_error_rate=result.high * 0.9)
    found = checks(strict, fast=True)["audit"]
    assert (result.rate, found.state) == (0, "no-go")  # not one error, and too few to be sure
    assert "judge more samples" in found.how


def test_an_audit_that_fails_counts_though_none_is_required(asking):
    run = asking()
    judged(run, 8)
    assert checks(run, fast=True)["audit"].state == "no-go"


def test_of_several_audits_the_one_with_most_judgements_counts(asking):
    run = asking(max_error_rate=0.99)
    judged(run, 5)
    judged(run, 0, size=4)
    assert checks(run, fast=True)["audit"].details["errors"] == 5


def test_an_audit_of_other_shards_is_stale(asking):
    run = asking(require_audit=True, max_error_rate=0.5)
    judged(run, 0)
    assert checks(run, fast=True)["audit"].state == "go"
    moved = asking(require_audit=True, max_error_rate=0.5, recipe={"split": {"train": 0.5, "val": 0.5}})
    found = checks(moved, fast=True)["audit"]
    assert (found.state, found.stops, found.value) == ("unknown", True, "of other shards: stale")


def test_a_damaged_audit_is_unknown_and_no_crash(asking):
    run = asking(require_audit=True)
    judged(run, 0)
    next(run.layout.audits.glob("*/result.json")).write_text("{")
    assert (checks(run, fast=True)["audit"].value, gate(run, fast=True).go) == ("damaged", False)


def test_a_changed_byte_in_a_shard_stops_it_unless_the_shards_are_not_read(run):
    shard = next(run.layout.final.glob("webdataset/*/*.tar"))
    data = bytearray(shard.read_bytes())
    data[700] ^= 255
    shard.write_bytes(data)
    assert checks(run)["checksums"].state == "no-go"
    assert checks(run, fast=True)["checksums"].state == "unknown"
    assert gate(run, fast=True).go


@pytest.mark.parametrize("stage", ["00_raw", "01_filtered", "04_final"])
def test_counts_that_do_not_add_up_stop_it(run, stage):
    path = run.layout.stage_file(stage)
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "kept": record["kept"] - 1}))
    assert checks(run, fast=True)["counts"].state == "no-go"


def test_a_packed_sample_without_origin_stops_it(run):
    packed = pq.read_table(run.layout.manifest, columns=["id"]).column("id")[0].as_py()
    for path in sorted(run.layout.samples(0).parent.glob("*.parquet")):
        table = pq.read_table(path)
        pq.write_table(table.filter(pa.compute.not_equal(table.column("id"), packed)), path)
    found = checks(run, fast=True)["origins"]
    assert (found.state, found.details) == ("no-go", [packed])


def test_an_encoder_without_a_hash_is_no_model_that_can_be_traced(tmp_path, inline):
    from sluice.synth.generate import generate

    world = generate(tmp_path / "world", 24, 3).folder
    source = {"type": "table", "path": str(world / "captions.jsonl"), "name": "world"}
    quality = {"encoder": {"type": "builtin"}, "reject": {"misaligned": "alignment < 0.515"}}
    fields = {"sources": [source], "measures": MEASURES, "quality": quality}
    run = sluice.run(write_recipe(tmp_path / "recipe.yaml", world, **fields))
    found = checks(run)
    assert "encoder sluice-builtin" in found["models"].details
    assert found["models"].state == "go"
    assert gate(run).go
    path = run.layout.stage_file("03_quality_checked")
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "encoder": {**record["encoder"], "hash": None}}))
    assert checks(run, fast=True)["models"].stops


PLUGIN = """
from sluice.caption.plugin import captioner

@captioner("test.said", version=3)
def said(requests):
    return ["write to jane.doe@example.org" for _ in requests]
"""


@pytest.mark.parametrize("with_quality", [False, True])
def test_generated_captions_are_counted_with_quality_and_without(tmp_path, inline, with_quality):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.jpg").write_bytes(encoded(picture(number)))
    captions = {"captioners": [{"type": "plugin", "name": "said", "function": "test.said"}]}
    fields = {"measures": MEASURES, "plugins": ["plugin.py"], "captions": captions, "filter": {}}
    if with_quality:
        fields["quality"] = {"encoder": {"type": "builtin"}}
    run = sluice.run(write_recipe(tmp_path / "recipe.yaml", folder, **fields))
    shards = b"".join(path.read_bytes() for path in run.layout.final.glob("webdataset/*/*.tar"))
    found = checks(run, fast=True)
    assert found["personal data"].stops
    counted = found["personal data"].details
    assert (counted["samples"], counted["unmeasured"]) == (6, 0)
    assert shards.count(b"jane.doe@example.org") == 2 * 6  # a .txt and a .json each
    assert found["models"].details["captioner said"] == "3"
    assert found["money"].value == "0: no service that charges was asked"


def test_a_caption_that_is_left_out_does_not_count(tmp_path, inline):
    folder = tmp_path / "data"
    folder.mkdir()
    with open(folder / "rows.jsonl", "w") as table:
        for number in range(6):
            (folder / f"{number}.jpg").write_bytes(encoded(picture(number)))
            both = [f"a picture of thing number {number}", "write to jane.doe@example.org"]
            table.write(json.dumps({"image": f"{number}.jpg", "captions": both}) + "\n")
    source = [{"type": "table", "path": str(folder / "rows.jsonl")}]
    filters = {"reject": {"personal": "pii > 0"}}
    fields = {"sources": source, "measures": MEASURES, "filter": filters}
    run = sluice.run(write_recipe(tmp_path / "recipe.yaml", "unused", **fields))
    shards = b"".join(path.read_bytes() for path in run.layout.final.glob("webdataset/*/*.tar"))
    assert b"jane.doe" not in shards
    assert checks(run, fast=True)["personal data"].details == {"samples": 0, "unmeasured": 0, "packed": 6}


def test_answers_of_a_service_without_a_price_cost_nobody_knows_what(run):
    from sluice.run.said import SAID

    path = run.layout.captions("service@0", 0)
    path.parent.mkdir(parents=True)
    rows = [{"id": "a", "attempts": 1, "cost": 0.25}, {"id": "b", "attempts": 2}]
    pq.write_table(pa.Table.from_pylist(rows, SAID), path)
    found = checks(run, fast=True)["money"]
    assert (found.state, found.details["spent"], found.stops) == ("unknown", 0.25, False)
    assert "1 answer of service" in found.value


def test_a_run_that_is_not_finished_has_no_verdict(recipe, inline, capsys):
    run = sluice.run(recipe(), only="01_filtered")
    with pytest.raises(RunError, match="04_final is not finished"):
        gate(run)
    assert code_of("gate", run.layout.root) == 2


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"licences": ["CC-BY-4"]}, "is no SPDX id"),
        ({"safety": {"noai": -1}}, "greater than or equal to 0"),
        ({"max_error_rate": 2}, "less than or equal to 1"),
        ({"budget": 3}, "there is no such field"),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(tmp_path, fields, complaint):
    with pytest.raises(RecipeError, match=complaint):
        recipe_from(recipe_values(tmp_path, gate=fields), tmp_path)
