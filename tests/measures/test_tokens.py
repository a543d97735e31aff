"""`text.tokens`: counts of every text, named by what the tokenizer's file holds, summed in the manifest."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import sluice
from sluice.errors import RecipeError
from sluice.measures.base import registered
from sluice.measures.tokens import tokens
from sluice.measures.views import TextRow, apply
from sluice.pack.base import PackSample, PackText
from sluice.pack.manifest import read_manifest
from support.corpus import encoded, picture
from support.recipes import write_recipe

tokenizers = pytest.importorskip("tokenizers")


def words_file(folder: Path, name: str = "tokenizer.json", *, letters: bool = False) -> Path:
    """A tokenizer whose tokens are words, or letters."""
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    split = tokenizers.pre_tokenizers
    made.pre_tokenizer = split.Split(tokenizers.Regex("."), "isolated") if letters else split.WhitespaceSplit()
    made.save(str(folder / name))
    return folder / name


def test_a_text_that_is_no_unicode_fails_alone(tmp_path: Path) -> None:
    bound = registered("text.tokens").bind({"tokenizer": str(words_file(tmp_path))})
    measured = apply(bound, [TextRow(text, None, None) for text in ("a dog", "a \ud800 dog", "")])
    assert measured.columns == {"tokens": [2, None, 0]}
    assert measured.errors == [None, "decode: it is no valid Unicode: surrogates not allowed", None]


def test_another_file_at_the_same_path_counts_and_is_named_anew(tmp_path: Path) -> None:
    def counted_and_named() -> tuple[list[int], str]:
        path = str(tmp_path / "tokenizer.json")
        columns = tokens(SimpleNamespace(text=["a dog"]), tokenizer=path)
        return list(columns["tokens"]), registered("text.tokens").bind({"tokenizer": path}).identity("", "")

    words_file(tmp_path)
    by_words, one = counted_and_named()
    words_file(tmp_path, letters=True)
    by_letters, other = counted_and_named()
    assert (by_words, by_letters) == ([2], [5])
    assert one != other
    words_file(tmp_path, "elsewhere.json")
    elsewhere = registered("text.tokens").bind({"tokenizer": str(tmp_path / "elsewhere.json")})
    assert elsewhere.identity("", "") == one


def test_the_tokens_of_a_sample_are_those_of_its_turns_and_its_best_caption() -> None:
    def sample(*texts: PackText) -> PackSample:
        return PackSample("id", "key", "source", "train", (), texts, {}, {})

    best, other = PackText(1, "caption", "a b", tokens=2), PackText(2, "caption", "a b c", tokens=3)
    question, uncounted = PackText(3, "question", "w x y z", tokens=4), PackText(4, "answer", "?")
    assert sample(best, other).text_tokens == 2
    assert sample(best, other, question).text_tokens == 6
    assert sample(best, question, uncounted).text_tokens is None
    assert sample().text_tokens == 0


def test_a_run_packs_the_tokens_of_what_it_packs(tmp_path: Path, inline) -> None:
    words_file(tmp_path)
    images = tmp_path / "images"
    images.mkdir()
    captions = {"a": ["a dog on a beach", "dog"], "b": ["hm", "a cat sits"], "c": ["ball"]}
    for name, texts in captions.items():
        (images / f"{name}.jpg").write_bytes(encoded(picture(ord(name))))
        (images / f"{name}.json").write_text(json.dumps({"captions": texts}))
    chats = [{"id": "d", "image": "a.jpg", "conversations": [
        {"from": "human", "value": "<image>\nwhat is it?"}, {"from": "gpt", "value": "a dog on a beach"},
    ]}]  # fmt: skip
    (tmp_path / "chats.json").write_text(json.dumps(chats))
    settings = {
        "sources": [
            {"type": "folder", "path": str(images), "name": "photos"},
            {"type": "llava", "path": "chats.json", "images": str(images), "name": "chats"},
        ],
        "filter": {"reject": {"terse": "characters < 4"}, "duplicates": {"bytes": False, "near": None}},
        "split": {"train": 1.0},
    }
    measures = ["image.header", "image.content_hash", "image.phash", "text.basic", "text.content_hash"]
    recipe = write_recipe(tmp_path / "recipe.yaml", images, measures=measures, **settings)
    sluice.run(recipe)
    assert set(read_manifest(tmp_path / "run" / "04_final").column("text_tokens").to_pylist()) == {None}
    counting = [*measures, {"name": "text.tokens", "tokenizer": "tokenizer.json"}]
    sluice.run(write_recipe(tmp_path / "recipe.yaml", images, measures=counting, **settings))
    rows = read_manifest(tmp_path / "run" / "04_final").to_pylist()
    assert {(row["format"], row["key"]): row["text_tokens"] for row in rows} == {
        (format, key): count
        for format in ("webdataset", "parquet")
        # The first caption of b is left out, so its second one is the best. `<image>` counts as it is written.
        for key, count in (("a.jpg", 5), ("b.jpg", 3), ("c.jpg", 1), ("d", 4 + 5))
    }


def test_a_tokenizer_that_is_not_given_or_none_is_said_before_anything_runs(tmp_path: Path, inline) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(encoded(picture(1)))
    (tmp_path / "bad.json").write_text('{"a": 1}')
    words_file(tmp_path)
    for named, told in (
        ("text.tokens", r"recipe\.yaml:\d+: measures.*text\.tokens needs `tokenizer`"),
        ({"name": "text.tokens", "tokenizer": "gone.json"}, r"recipe\.yaml:\d+: measures.*gone\.json: cannot be read"),
        (
            {"name": "text.tokens", "tokenizer": "bad.json"},
            r"recipe\.yaml:\d+: measures.*bad\.json: the package tokenizers",
        ),
        (
            {"name": "text.tokens", "tokenizer": "tokenizer.json", "pattern": "qwen"},
            r"recipe\.yaml:\d+: measures.*leave `pattern` out",
        ),
    ):
        with pytest.raises(RecipeError, match=told):
            sluice.run(write_recipe(tmp_path / "recipe.yaml", tmp_path / "images", measures=[named]))
