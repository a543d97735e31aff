"""The dataset card: a header that the Hub accepts, and text that follows from the facts."""

import re
from dataclasses import replace

import datasets
import pytest
import yaml
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st

from pack.packing import pack, samples
from sluice.pack.card import CARD_FILE, code, dataset_card
from sluice.pack.card_facts import (
    CardFacts,
    DuplicateFacts,
    FormatFacts,
    LengthFacts,
    MeasureFacts,
    RuleFacts,
    SourceFacts,
    StageFacts,
)
from sluice.pack.card_header import hub_languages, hub_licences, size_category
from sluice.pack.card_limits import known_limits

FACTS = CardFacts(
    name="demo: pairs #1",
    version="0.1.0",
    recipe="0123456789abcdef",
    seed=7,
    splits={"train": 9, "val": 3},
    formats=(FormatFacts("webdataset", 4, 40_960), FormatFacts("parquet", 4, 3 * 2**30)),
    images=12,
    most_images=1,
    roles={"caption": 24},
    stages=(
        StageFacts("01_filtered", 20, 12, 5, 2, 1, {"blurry": 4, "a|b": 1, "decode": 1}),
        StageFacts("04_final", 12, 12),
    ),
    sources=(SourceFacts("photos", "folder", 20, 12),),
    licences={"CC-BY-4.0": 9, None: 3},
    languages={"en": 20, "fr": 3, None: 1},
    lengths=LengthFacts(24, 10, 35, 80),
    rules=(RuleFacts("blurry", "reject", "sharpness < 100\n OR contrast < 3 || ''", "held", 4),),
    measures=(MeasureFacts("image.quality", 1, "ff00"), MeasureFacts("text.language", 1, "aa", "lid.176 sha256:8f3")),
    duplicates=DuplicateFacts(bytes=1, near=2, hash="phash", distance=8, clusters=1, largest=3, diameter=11),
    failures={"decode": 1},
)


def parts(text):
    _, header, body = text.split("---\n", 2)
    return yaml.safe_load(header), body


def test_the_hub_library_reads_and_validates_the_header():
    card = DatasetCard(dataset_card(FACTS))
    assert card.data.pretty_name == "demo: pairs #1"
    assert card.data.license == ["cc-by-4.0", "unknown"]
    assert card.data.language == ["en", "fr"] and card.data.multilinguality == ["multilingual"]
    assert card.data.size_categories == ["n<1K"]
    assert card.data.task_categories == ["image-to-text", "text-to-image"]
    assert card.text.lstrip().startswith("# demo: pairs #1")


@pytest.mark.parametrize("formats", [("parquet", "webdataset"), ("webdataset",)])
def test_datasets_loads_a_pack_by_its_card(tmp_path, read, formats):
    made = samples(tmp_path)
    final = tmp_path / "final"
    pack(final, made, read, formats)
    facts = replace(FACTS, formats=tuple(FormatFacts(name, 4, 1) for name in formats))
    (final / "README.md").write_text(dataset_card(facts), encoding="utf-8")
    loaded = datasets.load_dataset(str(final), cache_dir=str(tmp_path / "cache"))
    assert {split: loaded[split].num_rows for split in loaded} == {"train": 9, "val": 3}
    column = "id" if "parquet" in formats else "__key__"
    assert loaded["train"][column] == [sample.id for sample in made if sample.split == "train"]


def test_the_code_in_the_card_runs(tmp_path, read, monkeypatch):
    pack(tmp_path, samples(tmp_path), read)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", dataset_card(FACTS), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        scope = {}
        exec(block, scope)
        split = scope["dataset"]["train"] if isinstance(scope["dataset"], dict) else scope["dataset"]
        assert sum(1 for _ in split) == 9


def test_every_fact_is_said():
    _, body = parts(dataset_card(FACTS))
    for said in [
        "| 01_filtered | 20 | 12 | 5 | 2 | 1 |",
        "| 01_filtered | `blurry` | 4 |",
        r"| 01_filtered | `a\|b` | 1 |",
        r"| `blurry` | reject | `sharpness < 100 OR contrast < 3 \|\| ''` | held | 4 |",
        "| `photos` | folder | 20 | 12 |",
        "| CC-BY-4.0 | 9 |",
        "| unknown | 3 |",
        "| en | 20 | 83.3% |",
        "| unsure | 1 | 4.2% |",
        "median 35, 5th percentile 10, 95th percentile 80",
        "| `text.language` | 1 | `aa` | lid.176 sha256:8f3 |",
        "webdataset (4 shards, 40.0 KiB), parquet (4 shards, 3.0 GiB)",
        "2 samples rejected as near-duplicates: phash within 8 bits",
        "| decode | 1 |",
        "Made by Sluice 0.1.0 from recipe `0123456789abcdef`",
    ]:
        assert said in body, said


def test_limits_follow_from_what_was_not_done():
    bare = " ".join(known_limits(FACTS))
    assert "No licence was recognised for 3 samples (25.0%)" in bare
    assert "No model compared captions" in bare and "benchmark" in bare and "held for review" in bare
    more = replace(
        FACTS,
        licences={"MIT": 12},
        measures=(*FACTS.measures, MeasureFacts("pair.alignment", 1, "x", "m"), MeasureFacts("safety.nsfw", 1, "y")),
        duplicates=DuplicateFacts(references={"coco": 0}),
        stages=(),
        failures={},
        splits={"train": 12, "val": 0},
    )
    text = " ".join(known_limits(more))
    for absent in ["licence was recognised", "No model compared", "unsafe", "benchmark", "held for", "but failed"]:
        assert absent not in text
    assert "Near-duplicate images were not looked for" in text and "Splits without a sample: val" in text
    assert "by steps" in " ".join(known_limits(replace(FACTS, duplicates=replace(FACTS.duplicates, diameter=17))))


def test_a_card_of_nothing_is_still_a_card():
    nothing = replace(
        FACTS,
        splits={"train": 0},
        formats=(),
        images=0,
        roles={},
        stages=(),
        sources=(),
        licences={},
        languages={},
        lengths=None,
        rules=(),
        measures=(),
        duplicates=DuplicateFacts(),
        failures={},
    )
    header, body = parts(dataset_card(nothing))
    assert header["size_categories"] == ["n<1K"] and header["configs"] == []
    assert "No rule was applied" in body and "## Known limits\n\n- " in body
    DatasetCard(dataset_card(nothing))


def test_conversations_and_questions_name_their_tasks():
    header, _ = parts(dataset_card(replace(FACTS, roles={"question": 3, "answer": 30, "gpt": 2})))
    assert header["task_categories"] == ["visual-question-answering", "image-text-to-text"]


def test_a_licence_the_hub_does_not_know_is_named():
    header, _ = parts(dataset_card(replace(FACTS, licences={"LicenseRef-mine": 12})))
    assert (header["license"], header["license_name"]) == ("other", "LicenseRef-mine")


def test_long_tables_are_summed_up_and_lose_nothing():
    licences = {f"LicenseRef-{n:02d}": n + 1 for n in range(40)}
    _, body = parts(dataset_card(replace(FACTS, licences=licences)))
    rows = re.findall(r"^\| (?:LicenseRef-\d+|10 others) \| (\d+) \|$", body, re.MULTILINE)
    assert len(rows) == 31 and sum(map(int, rows)) == sum(licences.values())


@given(st.integers(0, 10**13))
def test_a_size_category_holds_its_size(number):
    parsed = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}

    def value(text):
        return int(text[:-1]) * parsed[text[-1]]

    category = size_category(number)
    if category == "n>1T":
        assert number >= 10**12
    elif category == "n<1K":
        assert number < 1000
    else:
        low, high = category.split("<n<")
        assert value(low) <= number < value(high) == 10 * value(low)


@given(st.dictionaries(st.one_of(st.none(), st.text(max_size=6)), st.integers(1, 100), max_size=6))
def test_any_language_or_licence_gives_a_valid_header(counts):
    header, _ = parts(dataset_card(replace(FACTS, languages=counts, licences=counts, name="a: 'b'\n- c")))
    assert all(re.fullmatch("[a-z]{2,3}", code) for code in header.get("language", []))
    assert hub_licences(counts) == list(dict.fromkeys(hub_licences(counts)))
    assert set(hub_languages(counts)) <= {(name or "").partition("-")[0].lower() for name in counts}


@given(st.text())
def test_code_never_breaks_its_cell(text):
    cell = code(text)
    assert "\n" not in cell and not re.search(r"(?<!\\)\|", cell)


def test_the_same_facts_give_the_same_card():
    assert dataset_card(FACTS) == dataset_card(replace(FACTS)) and CARD_FILE == "DATASET_CARD.md"
