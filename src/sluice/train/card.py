"""What an encoder is, can and cannot do, as a page of Markdown."""

from __future__ import annotations

from typing import Any


def card(said: dict[str, Any], scores: dict[str, Any]) -> str:
    """The card of the encoder that `encoder.json` and `evidence/scores.json` describe."""
    count, seed = scores["held_out_world"]
    demo, balanced = scores["told_apart"]["demo"], scores["told_apart"]["balanced"]["all"]
    lines = [
        f"# {said['name']}, revision {said['revision']}",
        "",
        f"A dual encoder: image and text to {said['dim']} numbers. It knows {said['world']}, and nothing else;",
        "it is no encoder for photographs. Trained by `sluice train encoder --recipe builtin` on drawn pictures and",
        f"captions made from their truth, in {', '.join(said['languages'])}: nobody's pictures, nobody's texts.",
        "Licence: Apache-2.0, as Sluice.",
        "",
        f"On a world it has not seen, `generate(count={count}, seed={seed})`, at thresholds chosen on another:",
        "",
        "| language | R@1 | R@5 | R@10 | mismatched caught | swapped caught | false alarms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for code, recall in scores["recall_at"].items():
        row = demo[code]
        at = " | ".join(f"{one[0]:.1%} / {one[1]:.1%}" for one in recall.values())
        lines.append(f"| {code} | {at} | {row['mismatched']:.1%} | {row['swapped']:.1%} | {row['false_alarms']:.2%} |")
    return "\n".join([*lines, "", *_thresholds(demo, balanced), *_planted(scores["planted"]), ""])


def _thresholds(demo: dict[str, Any], balanced: dict[str, Any]) -> list[str]:
    row = demo["all"]
    return [
        "R@k: image to text / text to image, among up to 1,000 good pictures of that world. The other",
        f"columns: at cosine {row['threshold']:.3f}; precision {row['precision']:.1%} where {demo['share_wrong']:.1%}",
        "of the pairs are wrong, half of them swapped, as in the demo. With as many wrong pairs as right ones: cosine",
        f"{balanced['threshold']:.3f}, precision {balanced['precision']:.1%}, mismatched caught"
        f" {balanced['mismatched']:.1%}, swapped caught {balanced['swapped']:.1%}.",
    ]


def _planted(planted: dict[str, Any]) -> list[str]:
    caught, swaps, lost = planted["mismatched_caught"], planted["swapped_caught"], planted["good_lost"]
    return [
        f"Of its own files: {caught[0]} of {caught[1]} mismatched and {swaps[0]} of {swaps[1]} swapped caught,",
        f"{lost[0]} of {lost[1]:,} good ones lost.",
        *(["It does not tell swapped attributes: do not rely on it for them."] if swaps[0] < swaps[1] / 2 else []),
    ]
