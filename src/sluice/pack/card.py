"""DATASET_CARD.md: what the dataset is, how it came to be and what is known to be wrong with it.

The text depends on the facts alone: no date, no path, no machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import yaml

from sluice.pack.card_facts import CardFacts
from sluice.pack.card_header import card_header, config_format, shard_glob, split_name
from sluice.pack.card_limits import count, known_limits

CARD_FILE: Final = "DATASET_CARD.md"
_SHOWN: Final = 30  # rows of a table of open length (sources, licences, languages); the rest is summed up


def dataset_card(facts: CardFacts) -> str:
    """The whole card: a Hugging Face YAML header, then Markdown."""
    header = yaml.safe_dump(card_header(facts), sort_keys=False, allow_unicode=True, width=1_000)
    sections = [
        _about(facts),
        _loading(facts),
        _making(facts),
        _rules(facts),
        _balance(facts),
        _origins(facts),
        _texts(facts),
        _duplicates(facts),
        _measures(facts),
        "## Known limits\n\n" + "\n".join(f"- {limit}" for limit in known_limits(facts)),
        _takedown(facts),
    ]
    return f"---\n{header}---\n\n" + "\n\n".join(section for section in sections if section) + "\n"


def _about(facts: CardFacts) -> str:
    texts = ", ".join(f"{count:,} texts of role {role}" for role, count in facts.roles.items() if count)
    formats = ", ".join(
        f"{made.format} ({count(made.shards, 'shard')}, {_bytes(made.bytes)})" for made in facts.formats
    )
    several = f" (at most {facts.most_images} in one sample)" if facts.most_images > 1 else ""
    splits = _table(("split", "samples"), facts.splits.items())
    return (
        f"# {facts.name}\n\n"
        f"{count(facts.samples, 'sample')}: {count(facts.images, 'image')}{several}, {texts or 'no texts'}. "
        f"Packed as {formats or 'nothing'}. {_bytes_kept(facts)}\n\n{splits}\n\n"
        f"Splits are drawn with seed {facts.seed}, cluster by cluster: images that are near each other are never in "
        "two splits."
    )


def _bytes_kept(facts: CardFacts) -> str:
    if facts.redacted is None:
        return "Images are stored byte for byte as they were found."
    return (
        f"In {count(facts.redacted, 'image')} parts were covered and the bytes written anew, as `redactions.parquet` "
        "says; all others are stored byte for byte as they were found."
    )


def _loading(facts: CardFacts) -> str:
    splits = [split for split, samples in facts.splits.items() if samples]
    if not splits or not facts.formats:
        return ""
    split = splits[0]
    main = config_format(facts)
    parts = ["## How to load it"]
    formats = [made.format for made in facts.formats]
    if "parquet" in formats:
        files = ", ".join(f'"{split_name(name)}": "{shard_glob("parquet", name)}"' for name in splits)
        parts.append(
            "```python\nimport datasets\n\n"
            f'dataset = datasets.load_dataset("parquet", data_files={{{files}}}, streaming=True)\n```'
        )
    if "webdataset" in formats:
        parts.append(
            "```python\nimport glob, webdataset\n\n"
            f'shards = sorted(glob.glob("{shard_glob("webdataset", split)}"))\n'
            'dataset = webdataset.WebDataset(shards, shardshuffle=100).shuffle(1000).decode("pil")\n```'
        )
    parts.append(
        f"Uploaded to the Hugging Face Hub with this card as its `README.md`, `load_dataset` by name reads the {main} "
        "shards. `manifest.parquet` has a row a packed sample (place, sizes, checksum); `sha256sum -c SHA256SUMS` "
        "checks a copy."
    )
    return "\n\n".join(parts)


def _making(facts: CardFacts) -> str:
    stages = _table(
        ("stage", "entered", "kept", "rejected", "held", "failed"),
        [(s.name, s.entered, s.kept, s.rejected, s.held, s.failed) for s in facts.stages],
    )
    reasons = _table(
        ("stage", "reason", "samples"),
        [(s.name, code(reason), n) for s in facts.stages for reason, n in _most(s.reasons)],
    )
    failures = _table(("class of failure", "samples"), _most(facts.failures))
    parts = ["## How it was made", "In each stage, entered = kept + rejected + held + failed.", stages]
    if reasons:
        parts += ["A sample may have several reasons, so these can add up to more than the samples that left.", reasons]
    if failures:
        parts += ["A failed sample could not be read, decoded or measured and is not in the dataset.", failures]
    return "\n\n".join(parts)


def _rules(facts: CardFacts) -> str:
    if not facts.rules:
        return "## Rules\n\nNo rule was applied."
    rows = [(code(r.name), r.effect, code(r.sql), r.null, r.samples) for r in facts.rules]
    return "## Rules\n\n" + _table(("rule", "effect", "when", "if it cannot be measured", "samples"), rows)


def _balance(facts: CardFacts) -> str:
    if facts.balance is None:
        return ""
    steps = facts.balance["steps"]
    drawn, epoch = facts.balance["drawn"], facts.balance["epoch"]
    rows = [(step["step"], code(step["of"]) if "of" in step else "", step["in"], step["drawn"]) for step in steps]
    parts = [
        "## Balance",
        f"Of {facts.balance['in']:,} samples that passed every rule, {drawn:,} were drawn.",
        _table(("step", "of", "entered", "drawn"), rows),
    ]
    if epoch > drawn:
        parts.append(
            f"Some are to be repeated: an epoch takes each as often as its `repeats` in the manifest says, {epoch:,} "
            "in all. The shards hold each once."
        )
    for kind in facts.balance["kinds"]:
        groups = [(code(name), *counts) for name, *counts in kind["groups"]]
        if "others" in kind:
            number, *counts = kind["others"]
            groups.append((f"{number:,} others", *counts))
        parts.append(_table((kind["of"], "before", "drawn", "an epoch sees"), groups))
    for step in steps:
        if "weights" in step:
            parts += [
                f"Samples carry a weight by {code(step['of'])}: draw each in proportion to the `weight` that the "
                "manifest and the samples state, or multiply its loss by it.",
                _table((step["of"], "weight"), step["weights"].items()),
            ]
    return "\n\n".join(parts)


def _origins(facts: CardFacts) -> str:
    sources = [(code(source.name), source.type, source.samples, source.packed) for source in facts.sources]
    licences = [(spdx or "unknown", samples) for spdx, samples in _most(facts.licences)]
    return "\n\n".join(
        [
            "## Sources and rights",
            _table(("source", "type", "raw samples", "packed"), sources),
            _table(("licence (SPDX)", "packed samples"), licences),
            "Every sample carries its licence, author and source URL where the source states them. "
            "A licence that could not be recognised is `unknown`, never guessed.",
        ]
    )


def _texts(facts: CardFacts) -> str:
    total = sum(facts.languages.values())
    rows = [(name or "unsure", n, f"{100 * n / total:.1f}%") for name, n in _most(facts.languages)] if total else []
    parts = ["## Languages and captions"]
    if rows:
        parts.append(_table(("detected language", "texts", "share"), rows))
    if facts.lengths:
        parts.append(
            f"{count(facts.lengths.count, 'caption')}; characters: median {facts.lengths.median:,.0f}, "
            f"5th percentile {facts.lengths.p5:,.0f}, 95th percentile {facts.lengths.p95:,.0f}."
        )
    return "\n\n".join(parts) if len(parts) > 1 else ""


def _duplicates(facts: CardFacts) -> str:
    found = facts.duplicates
    lines: list[str] = []
    if found.bytes is not None:
        lines.append(f"{count(found.bytes, 'sample')} rejected for image bytes that equal those of a kept one")
    if found.near is not None:
        lines.append(
            f"{count(found.near, 'sample')} rejected as near-duplicates: {found.hash} within {found.distance} bits of "
            f"a kept image, in {count(found.clusters, 'cluster')} (the largest has {found.largest:,} members; the "
            f"widest is {found.diameter} bits across)"
        )
    if found.texts is not None:
        lines.append(f"{count(found.texts, 'sample')} rejected for texts that share most n-grams with a kept one")
    if found.semantic is not None:
        lines.append(f"{count(found.semantic, 'sample')} rejected as semantic duplicates of a kept one")
    if found.captions_left_out:
        nearly = ", nearly repeated" if found.texts is not None else ""
        lines.append(f"{count(found.captions_left_out, 'caption')} left out as repeated{nearly} or boilerplate")
    lines += [f"{count(n, 'sample')} rejected for matching {code(name)}" for name, n in found.references.items()]
    return "## Duplicates\n\n" + "\n".join(f"- {line}" for line in lines) if lines else ""


def _measures(facts: CardFacts) -> str:
    rows = [(code(m.name), m.version, code(m.fingerprint), m.model or "none") for m in facts.measures]
    return "## Measures and models\n\n" + (_table(("measure", "version", "fingerprint", "model"), rows) or "None ran.")


def _takedown(facts: CardFacts) -> str:
    contact = facts.contact or "the publisher of this dataset, who should put a contact here"
    gone = f" {count(facts.taken_down, 'sample')} so far removed on request." if facts.taken_down else ""
    return (
        "## Takedown\n\n"
        f"To have your work removed, write to {contact}, with its URL, or with the `id` of the sample or the "
        f"`sha256` of the image; the shards that hold it are rewritten without it (`sluice takedown`).{gone}\n\n"
        f"Made by Sluice {facts.version} from recipe `{facts.recipe}`."
    )


def code(text: str) -> str:
    """`text` as Markdown code that is safe in a table cell, whatever it holds.

    >>> code("a | b")
    '`a \\\\| b`'
    """
    flat = " ".join(text.split()).replace("|", "\\|")
    fence = "`"
    while fence in flat:
        fence += "`"
    return f"{fence} {flat} {fence}" if "`" in flat else f"`{flat}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [" | ".join(_cell(value) for value in row) for row in rows]
    if not lines:
        return ""
    rules = " | ".join("---" for _ in head)
    return "\n".join(f"| {line} |" for line in [" | ".join(head), rules, *lines])


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    text = str(value)
    return text if text.startswith("`") else " ".join(text.split()).replace("|", "\\|")


def _most(counts: Mapping[str | None, int] | Mapping[str, int]) -> list[tuple[str, int]]:
    """The largest counts first, ties by name; what a table has no room for is summed up."""
    ordered = sorted(((name or "", n) for name, n in counts.items() if n), key=lambda entry: (-entry[1], entry[0]))
    rest = ordered[_SHOWN:]
    others = [(f"{len(rest)} others", sum(n for _, n in rest))] if rest else []
    return [*ordered[:_SHOWN], *others]


def _bytes(size: int) -> str:
    amount = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} TiB"
