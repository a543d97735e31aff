"""`init`: the recipe it writes is one that runs, whatever else lies in the folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sluice.errors import RecipeError, SourceError
from sluice.run.init import write_recipe
from sluice.run.recipe import load_recipe
from sluice.sources.open import open_source


def _table_and_questions(folder: Path) -> None:
    """A table of captions beside VQA questions that do not say which images they are on."""
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "captions.jsonl").write_text(json.dumps({"path": "a.jpg", "caption": "a kite", "license": "CC0-1.0"}))
    (folder / "questions.json").write_text(
        json.dumps({"questions": [{"question_id": 1, "image_id": 1, "question": "what?"}]})
    )


def test_a_source_that_does_not_open_as_it_is_leads_to_the_next_one(tmp_path: Path) -> None:
    _table_and_questions(tmp_path / "photos")
    path, findings = write_recipe(str(tmp_path / "photos"), tmp_path / "recipe.yaml", overwrite=False)
    [source] = load_recipe(path).recipe.sources
    assert source.type == "table"
    assert [finding.startswith("table") for finding in findings if "(in the recipe)" in finding] == [True]
    assert "also there: {'type': 'vqa'" in path.read_text()
    assert len(list(open_source(source, tmp_path).samples())) == 1


def test_where_no_source_opens_the_first_says_why(tmp_path: Path) -> None:
    _table_and_questions(tmp_path / "photos")
    for name in ("captions.jsonl", "a.jpg"):
        (tmp_path / "photos" / name).unlink()
    with pytest.raises(SourceError, match=r"questions\.json"):
        write_recipe(str(tmp_path / "photos"), tmp_path / "recipe.yaml", overwrite=False)
    assert not (tmp_path / "recipe.yaml").exists()


def test_rules_about_licences_stand_where_licences_are_stated(tmp_path: Path) -> None:
    _table_and_questions(tmp_path / "photos")
    path, _ = write_recipe(str(tmp_path / "photos"), tmp_path / "recipe.yaml", overwrite=False)
    assert "forbidden_licence" in load_recipe(path).recipe.filter.reject
    (tmp_path / "photos" / "captions.jsonl").write_text(json.dumps({"path": "a.jpg", "caption": "a kite"}))
    path, _ = write_recipe(str(tmp_path / "photos"), path, overwrite=True)
    assert "forbidden_licence" not in load_recipe(path).recipe.filter.reject


def test_the_folder_of_images_is_relative_to_the_recipe_too(tmp_path: Path) -> None:
    folder = tmp_path / "coco"
    (folder / "val").mkdir(parents=True)
    (folder / "val" / "a.jpg").write_bytes(b"\xff\xd8\xff")
    annotations = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": "a kite"}]}
    (folder / "captions.json").write_text(json.dumps(annotations))
    path, _ = write_recipe(str(folder), tmp_path / "recipe.yaml", overwrite=False)
    [source] = load_recipe(path).recipe.sources
    assert (source.type, source.path, source.images) == ("coco", "coco/captions.json", "coco/val")


def test_a_recipe_that_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    _table_and_questions(tmp_path / "photos")
    (tmp_path / "recipe.yaml").write_text("mine")
    with pytest.raises(RecipeError, match="--force"):
        write_recipe(str(tmp_path / "photos"), tmp_path / "recipe.yaml", overwrite=False)
    assert (tmp_path / "recipe.yaml").read_text() == "mine"
