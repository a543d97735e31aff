"""The consensus of a unit's captioners: flags on what each said, and what they agree on as a caption of its own."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import pyarrow as pa

from sluice.caption.consensus import consensus
from sluice.caption.content_words import LANGUAGES
from sluice.caption.variation_config import CONSENSUS, ConsensusConfig
from sluice.measures.text import text_hash
from sluice.run.said import SAID, said_table
from sluice.table.ids import fingerprint

_COMPARED: Final = ("short", "dense", "grounded")  # what is read in an image, and pairs, are no descriptions


def consensus_folder(config: ConsensusConfig) -> str:
    """The folder of the captions agreed on."""
    return f"{CONSENSUS}@{_fingerprint(config)}"


def with_consensus(said: pa.Table, config: ConsensusConfig, numbers: Counter[str]) -> tuple[pa.Table, pa.Table]:
    """What captioners `said`, flagged, and what they agree on; `numbers` (next items, by sample) counts on.

    Where there is no caption to be made of a sample, the row says why.
    """
    rows = said.to_pylist()
    spoken: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        if row["failure_class"] is None and row["text"] and row["kind"] in _COMPARED:
            spoken.setdefault(row["id"], {}).setdefault(row["captioner"], row)
    made: list[dict[str, Any]] = []
    who = {"captioner": CONSENSUS, "model": "consensus/1", "revision": _fingerprint(config)}
    for sample, by_captioner in spoken.items():
        language: str = next(iter(by_captioner.values()))["language"] or config.language
        text, why, kind = None, None, next(iter(by_captioner.values()))["kind"]
        if len(by_captioner) < 2:
            why = "one captioner alone described it"
        elif language.partition("-")[0].lower() not in LANGUAGES:
            why = f"content words are known of {', '.join(LANGUAGES)}, and not of {language}"
        else:
            found = consensus({name: row["text"] for name, row in by_captioner.items()}, language)
            for name, row in by_captioner.items():
                row |= {"support": found.support[name], "claims": list(found.claims[name])}
            text, kind = found.caption, by_captioner[found.best]["kind"]
            if text is None and config.words and found.agreed:
                text = ", ".join(found.agreed)
            if text is None:
                why = "no sentence is agreed on whole"
            elif text_hash(text) in {text_hash(row["text"]) for row in by_captioner.values()}:
                text, why = None, "a captioner said just this"
        shared = {"id": sample, **who, "kind": "short" if kind == "grounded" else kind, "language": language}
        if text is None:
            made.append({**shared, "discarded": why})
        else:
            made.append({**shared, "item": numbers[sample], "text": text})
            numbers[sample] += 1
    return pa.Table.from_pylist(rows, SAID), said_table(made)


def _fingerprint(config: ConsensusConfig) -> str:
    return fingerprint("consensus/1", config.model_dump_json())
