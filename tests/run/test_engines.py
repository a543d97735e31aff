"""What a recipe says under `engine:`, and what is said where Ray is not to be had."""

import os
import sys
from types import ModuleType

import pytest

from sluice.errors import MissingExtraError, RecipeError, RunError
from sluice.run.engines import make_engine, make_model_engine
from sluice.run.recipe import load_recipe
from support.commands import cli


@pytest.mark.parametrize(
    ("engine", "kind", "workers"),
    [
        ("ray", "ray", None),
        ("local", "local", None),
        ({"workers": 3}, "local", 3),
        ({"type": "ray", "address": "10.0.0.1:6379", "workers": 40, "gpus": 0.5}, "ray", 40),
    ],
)
def test_an_engine_is_its_type_alone_or_what_it_needs(recipe, engine, kind, workers):
    config = load_recipe(recipe(engine=engine)).recipe.engine
    assert (config.type, config.workers) == (kind, workers)


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("spark", "engine.type: Input should be 'local' or 'ray'"),
        ({"workers": 2, "address": "head:6379"}, "`address` is of the engine `ray`"),
        ({"gpus": 1}, "`gpus` is of the engine `ray`"),
        ({"type": "ray", "address": "ray://head:10001"}, "'ray://head:10001' is no address of a head"),
        ({"type": "ray", "adress": "head:6379"}, "engine.adress: there is no such field"),
    ],
)
def test_what_cannot_be_meant_is_said_with_its_line(recipe, engine, said):
    with pytest.raises(RecipeError, match=r"recipe.yaml:[0-9]+: engine") as error:
        load_recipe(recipe(engine=engine))
    assert said in str(error.value)


@pytest.mark.parametrize("found", [None, ModuleType("ray")], ids=["nothing", "a folder of that name"])
def test_a_ray_that_is_not_installed_is_one_sentence(recipe, monkeypatch, found):
    monkeypatch.setitem(sys.modules, "ray", found)
    with pytest.raises(
        MissingExtraError, match=r"^engine: ray needs an optional package: pip install 'sluice\[ray\]'$"
    ):
        make_engine(load_recipe(recipe(engine="ray")))


def test_a_folder_that_hides_ray_is_named(recipe, tmp_path):
    (tmp_path / "elsewhere" / "ray").mkdir(parents=True)
    (tmp_path / "elsewhere" / "ray" / "__init__.py").touch()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["", *filter(None, sys.path)])}
    done = cli("run", recipe(engine="ray"), cwd=tmp_path / "elsewhere", env=environment)
    assert done.code == 2
    assert "elsewhere/ray/__init__.py hides the package `ray`: rename its folder, or run from another one" in done.err


def test_a_cluster_that_is_not_there_is_said_at_once(recipe):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    with pytest.raises(RunError, match=r"no Ray cluster answers at 127.0.0.1:1: start it"):
        make_engine(load_recipe(recipe(engine={"type": "ray", "address": "127.0.0.1:1"})))


def test_which_gpu_a_model_gets_is_for_ray_to_say(recipe):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    quality = {"encoder": {"type": "onnx", "path": "model", "device": "cuda:1"}}
    with pytest.raises(RecipeError, match="Ray gives each worker a GPU of its own: say `device: cuda`, not `cuda:1`"):
        make_model_engine(load_recipe(recipe(engine="ray", quality=quality)))
