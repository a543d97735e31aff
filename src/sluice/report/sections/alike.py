"""Near-duplicate texts and semantic duplicates: in figures, and some beside the one that was kept."""

from __future__ import annotations

from sluice.report.alike import AlikeClusters, Member
from sluice.report.gather import Facts
from sluice.report.html import Html, table, tag
from sluice.report.parts import plural, section


def alike_section(facts: Facts) -> Html | None:
    """A table for each step that found any."""
    found = [one for one in facts.alike if one.count]
    if not found:
        return None
    lead = "Texts that share most of their n-grams, samples whose vectors nearly agree: of each cluster one stays."
    return section("alike", "Alike", lead, [_clusters(one) for one in found])


def _clusters(found: AlikeClusters) -> Html:
    lead = (
        f"{plural(found.members, 'member')} gone in {plural(found.count, 'cluster')}; "
        f"the largest has {found.largest:,} members."
    )
    rows = [[("kept" if member.kept else _alike(member)), member.told] for cluster in found.shown for member in cluster]
    shown = table(["Alike to the one kept", "Text or key"], rows, caption=f"The largest clusters: {found.reason}")
    return tag("div", tag("h3", found.reason), tag("p", lead, class_="aside"), shown)


def _alike(member: Member) -> str:
    return "by others" if member.similarity is None else f"{member.similarity:.3f}"
