"""The page of measures: its table is today's registry, and its examples run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from sluice.errors import SluiceError
from sluice.measures import base, reference
from sluice.measures.base import measure, registered, text

PAGE = Path(__file__).parents[2] / "docs" / "measures.md"


def example(name: str) -> str:
    found = re.search(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found, f"{PAGE} has no example {name}"
    return found[1]


def test_the_committed_page_holds_the_current_reference() -> None:
    between = PAGE.read_text("utf-8").partition(reference.BEGIN)[2].partition(reference.END)[0]
    assert between.strip() == reference.markdown().strip(), "run: python -m sluice.measures.reference docs/measures.md"


def test_every_column_of_every_built_in_measure_says_what_it_means() -> None:
    rows = re.findall(r"^\| `(\w+)` \| \w+ \| (.*) \|$", reference.markdown(), re.MULTILINE)
    assert len(rows) >= 40
    assert [column for column, meaning in rows if not meaning] == []


def test_only_what_sluice_brings_is_on_the_page_and_all_that_is_registered_is_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference.markdown()  # registers what is built in, once and for all
    monkeypatch.setattr(base, "_REGISTRY", dict(base._REGISTRY))

    @measure("test.reference", version=1, reads=text(), writes={"referred": pa.bool_()})
    def referred(batch: object, *, often: int = 2) -> dict[str, list[bool]]:
        """Is it?

        - `referred`: whether.
        """
        return {"referred": []}

    assert "test.reference" not in reference.markdown()
    assert "test.reference  Is it?\n  parameters: often: 2\n  referred  bool    whether" in reference.listing()
    assert "text.language" in reference.listing()


def test_the_module_writes_the_reference_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{reference.BEGIN}\nold\n{reference.END}\nafter\n", "utf-8")
    subprocess.run([sys.executable, "-m", "sluice.measures.reference", str(page)], check=True)
    assert page.read_text("utf-8") == (f"before\n{reference.BEGIN}\n\n{reference.markdown()}\n{reference.END}\nafter\n")
    page.write_text("no markers", "utf-8")
    with pytest.raises(SluiceError, match="no place"):
        reference.write(page)


def test_the_measure_of_the_page_runs_and_its_test_passes(tmp_path: Path) -> None:
    for name in ("my_measures.py", "test_my_measures.py"):
        (tmp_path / name).write_text(example(name), "utf-8")
    code = [line for line in example("my_measures.py").splitlines() if line and not line.startswith("import")]
    assert len(code) <= 10
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert tested.returncode == 0, tested.stdout


def test_the_recipe_of_the_page_names_measures_that_exist() -> None:
    from sluice.run.measure_plan import load_plugins

    load_plugins(())
    for name in re.findall(r"\b(?:image|text|rights)\.\w+", example("recipe")):
        assert registered(name).name == name
