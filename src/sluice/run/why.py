"""`why`: the whole story of a sample, from where it came from to where it went, with every value and rule."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sluice.run.alike_step import NAMES, clusters_of
from sluice.run.find import find_sample, unit_row
from sluice.run.rows import IDENTITY
from sluice.run.rules.rule import compile_rule, evaluate, observed
from sluice.run.stage import stage_record
from sluice.run.takedown import taken_down
from sluice.table.layout import CAPTIONED, CHECKED, FILTERED, FINAL, RAW, STAGES, Layout
from sluice.table.read import read_in_unit, read_where
from sluice.wording import counted

if TYPE_CHECKING:
    from sluice.run.ledger import Run
    from sluice.run.locked import LockedFilter

_CLUSTER_SHOWN: Final = 20


@dataclass(frozen=True)
class RuleSaid:
    """What one rule said of one row of the sample."""

    stage: str
    rule: str
    when: str
    effect: str
    item: int | None  # the text item of the row, where the rule reads texts
    values: Mapping[str, Any]
    spoke: bool | None  # None: could not say


@dataclass(frozen=True)
class Story:
    """Everything the run knows of a sample."""

    id: str
    key: str
    source: str
    unit: int
    rights: Mapping[str, Any]
    items: tuple[Mapping[str, Any], ...]
    stages: Mapping[str, Mapping[str, Any]]  # verdict, rules, reasons by stage
    measured: tuple[Mapping[str, Any], ...]  # the measured columns, by row
    rules: tuple[RuleSaid, ...]
    cluster: tuple[Mapping[str, Any], ...]  # its duplicates: id, key, verdict, distance, kept
    keep: str | None  # how the cluster's keeper was chosen
    packed: tuple[Mapping[str, Any], ...]  # manifest rows
    alike: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict[str, Any])  # by stage: its clusters
    covered: tuple[Mapping[str, Any], ...] = ()  # what was covered in its images while they were packed
    taken_down: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def verdict(self) -> str:
        """What the last stage that saw it decided."""
        return str(list(self.stages.values())[-1]["verdict"])

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {**vars(self), "verdict": self.verdict, "rules": [vars(rule) for rule in self.rules]}

    def __str__(self) -> str:
        return "\n".join(_text(self))


def tell(run: Run, query: str) -> Story:
    """The story of the sample that `query` names."""
    run.require(RAW)
    layout = run.layout
    identity, unit = find_sample(layout, query)
    sample = unit_row(layout, identity, unit)
    items = read_where(layout.items(unit), "id", identity).to_pylist()
    if layout.stage_file(CAPTIONED).is_file():
        items += read_where(layout.generated(unit), "id", identity).to_pylist()
    stages = {stage: found for stage in STAGES if (found := _verdict(layout, stage, identity, unit))}
    rows = {stage: _rows(layout, stage, identity, unit) for stage in (FILTERED, CHECKED)}
    near = run.recipe.filter.duplicates.near
    rights = ("licence", "author", "source_url", "fetched", "dataset")
    meta = sample["meta"]
    return Story(
        id=identity,
        key=str(sample["key"]),
        source=str(sample["source"]),
        unit=unit,
        rights={name: sample[name] for name in rights if sample[name] is not None},
        items=tuple({name: value for name, value in item.items() if value is not None} for item in items),
        stages=stages,
        measured=tuple(
            {name: value for name, value in row.items() if name not in IDENTITY.names}
            for row in (rows[CHECKED] if CHECKED in stages else rows[FILTERED]).to_pylist()
        ),
        rules=tuple(_rules_said(FILTERED, run.filter, rows[FILTERED]))
        + (tuple(_rules_said(CHECKED, run.quality, rows[CHECKED])) if run.quality else ()),
        cluster=tuple(_cluster(layout, stages.get(FILTERED, {}).get("cluster"))),
        keep=near.keep if near else None,
        packed=tuple(_packed(layout, identity)),
        alike={
            stage: tuple(clusters_of(layout, stage, identity, _CLUSTER_SHOWN)) for stage in NAMES if stage in stages
        },
        covered=tuple(_covered(layout, identity)),
        taken_down=taken_down(layout).get(identity),
        meta=json.loads(meta) if isinstance(meta, str) else {},
    )


def _verdict(layout: Layout, stage: str, identity: str, unit: int) -> dict[str, Any] | None:
    if not layout.stage_file(stage).is_file():
        return None
    rows = read_in_unit(layout.verdicts(stage), unit, "id", identity).to_pylist()
    if not rows:
        return None
    reasons = [{**reason, "values": json.loads(reason["values"])} for reason in rows[0]["reasons"]]
    return {**{name: value for name, value in rows[0].items() if name not in ("id", "unit")}, "reasons": reasons}


def _rows(layout: Layout, stage: str, identity: str, unit: int) -> Any:
    if not layout.stage_file(stage).is_file():
        return IDENTITY.empty_table()
    return read_in_unit(layout.rows_of(stage), unit, "id", identity)


def _rules_said(stage: str, locked: LockedFilter, rows: Any) -> Iterator[RuleSaid]:
    if not rows.num_rows:
        return
    compiled = [compile_rule(rule, rows.schema) for rule in locked.rules]
    results = evaluate(compiled, rows)
    items = rows.column("text_item").to_pylist()
    for rule, column in zip(compiled, results.columns, strict=True):
        seen: list[tuple[str, bool | None]] = []
        for item, values, spoke in zip(items, observed(rule, rows), column.to_pylist(), strict=True):
            if (values, spoke) not in seen:  # an image's rule says the same beside each of its captions
                seen.append((values, spoke))
                of = rule.rule
                yield RuleSaid(stage, of.name, of.when, of.effect, item, json.loads(values), spoke)


def _cluster(layout: Layout, keeper: str | None) -> Iterator[dict[str, Any]]:
    if keeper is None:
        return
    columns = ["id", "unit", "verdict", "distance"]
    members = read_where(layout.verdicts(FILTERED), "cluster", keeper, columns).to_pylist()
    for member in members[:_CLUSTER_SHOWN]:
        key = str(unit_row(layout, member["id"], member["unit"])["key"])
        yield {**member, "key": key, "kept": member["id"] == keeper}


def _packed(layout: Layout, identity: str) -> Iterator[dict[str, Any]]:
    if layout.stage_file(FINAL).is_file():
        yield from read_where(layout.manifest, "id", identity).to_pylist()


def _covered(layout: Layout, identity: str) -> Iterator[dict[str, Any]]:
    if layout.stage_file(FINAL).is_file() and layout.redactions.is_file():
        boxes = stage_record(layout, FINAL).get("boxes", "")
        for row in read_where(layout.redactions, "id", identity).to_pylist():
            yield {**{name: value for name, value in row.items() if name != "id"}, "found_by": boxes}


def _text(story: Story) -> Iterator[str]:
    yield f"{story.id}  {story.verdict.upper()}"
    yield f"{story.source}: {story.key}"
    yield from _origin(story)
    for stage, verdict in story.stages.items():
        yield ""
        yield f"{stage}: {verdict['verdict']}{_because(verdict)}"
        for reason in verdict["reasons"]:
            yield f"  {_reason(reason)}"
        if stage == FILTERED:
            yield from _clustered(story)
        yield from _alike(story, stage)
        yield from _rules(story, stage)
        if stage == (CHECKED if CHECKED in story.stages else FILTERED):
            yield from _measured(story)
    if story.packed:
        yield ""
        for row in story.packed:
            yield f"packed in {row['shard']} as number {row['index']}, bytes {row['offset']:,} + {row['size']:,}"
    for row in story.covered:
        what = f"{counted(len(row['boxes']), 'box', 'boxes')} covered ({row['method']}), found by {row['found_by']}"
        yield f"  item {row['item']} was written anew: {what}"
        yield f"    sha256 {row['sha256_before']} before, {row['sha256']} now"
    if story.taken_down is not None:
        yield f"taken down: {story.taken_down}"


def _origin(story: Story) -> Iterator[str]:
    for item in story.items:
        if item["kind"] == "text":
            language = f" [{item['language']}]" if "language" in item else ""
            yield f"  {item['item']}: {item['role']}{language}{_written_by(item)}: {_quoted(item)}"
            continue
        where = f"{item['uri']}" + (f" > {item['member']}" if "member" in item else "")
        size = f", {item['size']:,} bytes" if "size" in item else ""
        yield f"  {item['item']}: image: {where}{size}"
    for name, value in story.rights.items():
        yield f"  {name.replace('_', ' ')}: {value}"


def _written_by(item: Mapping[str, Any]) -> str:
    """Who wrote a text that its source did not, and what is to be known of it."""
    meta = json.loads(item.get("meta") or "{}")
    if item["role"] not in ("caption", "question", "answer") or "captioner" not in meta:
        return ""
    told = [f"by {meta['captioner']}"]
    if "of" in meta:
        told.append(f"of {meta['of']}")
    if "claims" in meta:
        told.append(f"support {meta['support']:.2f}")
        told += [f"it alone says {', '.join(meta['claims'])}"] if meta["claims"] else []
    if "left_out" in meta:
        told.append(f"left out by {', '.join(meta['left_out'])}")
    return f" ({'; '.join(told)})"


def _quoted(item: Mapping[str, Any]) -> str:
    return repr(item["text"]) if "text" in item else "(erased by a takedown)"


def _because(verdict: Mapping[str, Any]) -> str:
    return f" because of {', '.join(verdict['rules'])}" if verdict["rules"] else ""


def _reason(reason: Mapping[str, Any]) -> str:
    values = dict(reason["values"])
    place = f" (item {reason['item']})" if reason["item"] is not None else ""
    if "similarity" in values:
        like = "by others" if values["similarity"] is None else f"{values['similarity']:.3f}"
        effect = "this caption is left out" if reason["effect"] == "caption" else reason["effect"]
        item = f" (item {values['item']})" if "item" in values else ""
        return f"{reason['rule']}{place}: {effect}: alike {like} to {values['keeper']}{item}, which was kept"
    if "keeper" in values:
        return f"{reason['rule']}: {counted(values['distance'], 'bit')} from {values['keeper']}, which was kept"
    if "message" in values:
        return f"{values['class']}{place}: {values['message']}"
    shown = ", ".join(f"{name} = {value}" for name, value in values.items())
    effect = "this caption is left out" if reason["effect"] == "caption" else reason["effect"]
    return f"{reason['rule']}{place}: {effect}: {shown}"


def _measured(story: Story) -> Iterator[str]:
    for row in story.measured[:1]:
        yield "  measured"
        known = [f"{name} = {_value(value)}" for name, value in row.items() if value is not None]
        yield from (f"    {line}" for line in _in_columns(known))


def _clustered(story: Story) -> Iterator[str]:
    if story.cluster:
        yield f"  duplicates: {len(story.cluster)} in this cluster; kept is the first by {story.keep}"
        for member in story.cluster:
            mark = "kept" if member["kept"] else f"{counted(member['distance'], 'bit')} away"
            here = "  <- this one" if member["id"] == story.id else ""
            yield f"    {member['id'][:12]}  {mark:<14}  {member['key']}{here}"


def _alike(story: Story, stage: str) -> Iterator[str]:
    members = story.alike.get(stage, ())
    if members:
        yield f"  {NAMES[stage]}: who is alike"
        for member in members:
            like = "by others" if member["similarity"] is None else f"{member['similarity']:.3f}"
            here = "  <- this one" if member["id"] == story.id else ""
            yield f"    {member['id'][:12]}  {'kept' if member['kept'] else like:<14}  item {member['item']}{here}"


def _rules(story: Story, stage: str) -> Iterator[str]:
    said = [rule for rule in story.rules if rule.stage == stage]
    if said:
        yield "  rules"
        width = max(len(rule.rule) for rule in said)
        for rule in said:
            word = {True: "SPEAKS", False: "silent", None: "CANNOT SAY"}[rule.spoke]
            values = ", ".join(f"{name} = {_value(value)}" for name, value in rule.values.items())
            yield f"    {rule.rule:<{width}}  {word:<10}  {values}   [{rule.when}]"


def _in_columns(cells: Sequence[str], width: int = 33, most: int = 4) -> Iterator[str]:
    """The cells side by side, below each other; one that is wider than its column has a line of its own.

    >>> list(_in_columns(["a = 1", "b = 2", "name = a long one", "c = 3"], width=8))
    ['a = 1   b = 2', 'name = a long one', 'c = 3']
    """
    held: list[str] = []
    for cell in cells:
        wide = len(cell) >= width
        if held and (wide or len(held) == most):
            yield "".join(f"{one:<{width}}" for one in held).rstrip()
            held = []
        if wide:
            yield cell
        else:
            held.append(cell)
    if held:
        yield "".join(f"{one:<{width}}" for one in held).rstrip()


def _value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
