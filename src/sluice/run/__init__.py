"""The recipe, the stages, the ledger, resume: the conductor. It is the only room that knows all the others.

| subject | files |
| --- | --- |
| what is to be done | `recipe` (with `yaml_lines` and `..._config`), `template`, `init`, `lock`, `recipe_reference` |
| doing it | `conductor`; `ingest`; `measure_plan`, `measuring`; `filtering`; `reporting` |
| packing | `final`, `kept`, `shards`, `packing`, `shard_samples`, `facts`; `exports`, `export_command` |
| in a store | `stored`, `sending` |
| deciding | `rows`, `judging`, `decide`, `corpus_measuring`, `corpus_steps`, `references`, `verdicts`, `stage` |
| rules | the folder `rules/`: conditions and orders in SQL, checked, then worked out in a sandbox |
| asking | `ledger` (`Run`), `locked`, `find`, `why`, `what_if`, `curve`, `status`, `plan`, `verifying` |
| telling | `events`, `progress` |
| letting go | the folders `audit/` and `gate/`, with `gate_config`; `packed` |
| taking back | `takedown`, `takedown_command` |
| showing off | `demo` |

`sluice.run(recipe)` carries out a recipe: the room itself can be called, so that the function and the room may
share the name that users and engineers expect.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluice.run.events import Listener
    from sluice.run.ledger import Run


class _Room(ModuleType):
    def __call__(
        self,
        recipe: str | Path | Mapping[str, Any],
        *,
        only: str | None = None,
        base: str | Path = ".",
        listener: Listener | None = None,
    ) -> Run:
        """Carry out a recipe (a YAML file, or its fields as a mapping), or go on with it; returns the run.

        Relative paths in a mapping are relative to `base`. `only` stops after that stage. `listener` is told each
        event as it happens.
        """
        from sluice.run.conductor import run
        from sluice.run.ledger import Run
        from sluice.run.recipe import load_recipe, recipe_from

        file = recipe_from(dict(recipe), Path(base)) if isinstance(recipe, Mapping) else load_recipe(Path(recipe))
        run(file, only=only, listener=listener)
        return Run.open(file.layout.store or file.run_folder)


sys.modules[__name__].__class__ = _Room
