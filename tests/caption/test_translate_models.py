"""Translation by models on this machine: a tiny Marian that has learned three captions, and the same converted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sluice.caption.augment import Original, back_translated
from sluice.caption.translate import LocalTranslator, load_translator
from sluice.caption.translate_config import CTranslate2Config, TransformersTranslatorConfig
from sluice.errors import SampleFailure, SluiceError
from support.tiny_models import MARIAN_PAIRS, save_marian

_WHY = "needs the dependency group `models`: pip install --group models"
for name in ("torch", "transformers", "sentencepiece"):
    pytest.importorskip(name, reason=_WHY)
library: Any = pytest.importorskip("ctranslate2", reason=_WHY)

Make = Callable[..., LocalTranslator]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models of both directions, as transformers and as CTranslate2 keep them."""
    root = tmp_path_factory.mktemp("marian")
    found: dict[str, Path] = {}
    for pair in ("en>de", "de>en"):
        found[f"transformers {pair}"] = save_marian(root / pair, backwards=pair == "de>en")
        found[f"ctranslate2 {pair}"] = root / f"{pair}.converted"
        converter = library.converters.TransformersConverter(str(root / pair), copy_files=["source.spm", "target.spm"])
        converter.convert(str(found[f"ctranslate2 {pair}"]))
    return found


@pytest.fixture(params=["transformers", "ctranslate2"])
def make(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Make:
    def made(**changes: Any) -> LocalTranslator:
        kind: str = request.param
        models = {pair: str(folders[f"{kind} {pair}"]) for pair in ("en>de", "de>en")}
        fields = {"type": kind, "name": "opus", "models": models, "max_tokens": 40, "batch": 2, **changes}
        chosen = TransformersTranslatorConfig if kind == "transformers" else CTranslate2Config
        loaded = load_translator(chosen.model_validate(fields), None)  # type: ignore[arg-type]
        assert isinstance(loaded, LocalTranslator)
        return loaded

    return made


def test_what_was_learned_is_translated_in_order(make: Make) -> None:
    texts = [*MARIAN_PAIRS, *reversed(MARIAN_PAIRS)]
    assert make().translate(texts, "en", "de") == [MARIAN_PAIRS[text] for text in texts]


def test_there_and_back_is_the_same_again_and_discarded(make: Make) -> None:
    originals = [Original(str(at), text, "en") for at, text in enumerate(MARIAN_PAIRS)]
    made = list(back_translated(originals, make(), "de"))
    assert [one.discarded for one in made] == ["it is the same again"] * 3


def test_a_translation_that_is_cut_is_a_failure(make: Make) -> None:
    said = make(max_tokens=6).translate(["two", "a red dot"], "en", "de")
    assert said[0] == "zwei"
    assert isinstance(said[1], SampleFailure)
    assert "cut at 6 tokens" in said[1].message


def test_who_translates_is_named_by_its_files(make: Make) -> None:
    first = make()
    assert make(batch=7, threads=2).identity == first.identity
    assert make(beams=1).identity != first.identity
    only = dict(first._config.models)
    only.pop("de>en")
    assert make(models=only).identity != first.identity


def test_a_folder_without_its_pieces_is_refused(tmp_path: Path) -> None:
    config = CTranslate2Config(type="ctranslate2", name="opus", models={"en>de": str(tmp_path)})
    with pytest.raises(SluiceError, match="is no model of CTranslate2 with its pieces"):
        load_translator(config, None).translate(["x"], "en", "de")  # type: ignore[arg-type]
