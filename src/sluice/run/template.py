"""The commented recipe that `init` and `demo` write: every default rule with its why, ready to be changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from sluice.errors import RecipeError

RULES: Final = """\
filter:
  # Each line is a reason: its name, and an SQL condition over the measured columns (`sluice measures` lists them).
  # What could not be measured is held for review. `sluice what-if RUN --set 'NAME: CONDITION'` tries a change.
  reject:
    tiny: min_side < 64                 # px; little to see, and models are fed 224 or more
    banner: aspect > 3                  # longer side / shorter side: page decoration, cut to nothing by a square crop
    dark: brightness < 20               # 0 to 255
    blurry: sharpness < 50              # variance of the Laplacian, image at most 256 px a side
    flat: entropy < 2                   # bits; blank images, placeholders
    {when_null_extension}
    short_caption: characters < 5
    file_name_caption: file_name_like   # IMG_1234.jpg
    boilerplate: boilerplate            # "click to enlarge"
    mojibake: mojibake                  # Ã¼ where ü was meant
    html: html                          # tags and entities left in
    repetitive: repeated_ngram_share > 0.5
    looping: loop_words >= 6            # the same words three times in a row, six in all
    refusal: alternative and refusal    # "I'm sorry, but I can't ..."; `alternative`: captions, not conversations
    assistant_talk: alternative and assistant_talk   # "Sure! Here is a caption"
    prompt_leak: alternative and prompt_leak         # "<|im_end|>", "Describe the image in detail"
    personal: pii > 0                   # e-mail, phone, card, IBAN, national ids; `pii_kinds` says which
    no_ai: noai                         # X-Robots-Tag or TDM-Reservation, where the source kept it
    # cut_off: alternative and cut_off                  # "a dog on the"; titles of web pages often end in "..."
    # too_fine: fine_detail and pixels < 250000         # eyelashes and fine print that so few pixels cannot show
    wrong_language: {{when: language_mismatch, null: pass}}   # declared one, confidently another
"""
_EXTENSION: Final = "wrong_extension: {when: not extension_ok, null: pass}   # the bytes are of another format"
RIGHTS: Final = """\
    unknown_licence: {when: spdx is null, null: pass}
    forbidden_licence: {when: "spdx like '%-NC%' or spdx like '%-ND%'", null: pass}
"""
NO_RIGHTS: Final = """\
    # The source states no licences. Where it does, fail closed:
    # unknown_licence: {when: spdx is null, null: pass}
    # forbidden_licence: {when: "spdx like '%-NC%' or spdx like '%-ND%'", null: pass}
"""
DUPLICATES: Final = """\
  # rights: {allow: [CC0-1.0, CC-BY-4.0], unknown: reject}   # only these licences; opt-out lists go here, too
  duplicates:
    bytes: true          # equal image bytes
    captions: true       # the same caption twice on one image
    boilerplate: 20      # the same caption on more than 20 images
    near:                # near-duplicate images, by 64-bit perceptual hash
      distance: 8        # bits
      keep: pixels desc, characters desc, id
    # against:           # images of a benchmark: what matches them is rejected as contaminated
    #   - {name: my-test-set, source: {type: folder, path: test-images}, distance: 4}
"""
QUALITY: Final = """\
quality:
  encoder: {{type: builtin}}   # it knows {world}
  reject:
    # The cosine of image and text. A threshold belongs to its encoder: 0.28 is CLIP's, not this one's.
    misaligned: alignment < {threshold}
"""
NO_QUALITY: Final = """\
# How well the text fits the image, by an encoder of yours (docs: Encoders); what is below the threshold goes.
# quality:
#   encoder: {type: open_clip, name: ViT-B-32, pretrained: datacomp_xl_s13b_b90k, download: true}
#   reject:
#     misaligned: alignment < 0.2    # a threshold belongs to an encoder: `sluice curve RUN --column alignment`
"""
REST: Final = """\
split: {train: 0.95, val: 0.05}   # near-duplicates never lie in two splits

pack:
  - {format: webdataset}
  - {format: parquet}
"""


def recipe_text(
    name: str,
    sources: Sequence[Mapping[str, Any]],
    *,
    rights: bool,
    notes: Sequence[str] = (),
    unit: int | None = None,
    quality: str = NO_QUALITY,
) -> str:
    """A commented recipe over `sources`; with `rights`, unknown and forbidden licences are rejected.

    `quality` is the text of that section.

    >>> recipe_text("x", [{"type": "folder", "path": "images"}], rights=False).splitlines()[1:3]
    ['sluice: 1', 'name: x']
    """
    comments = "".join(f"# {note}\n" for note in notes)
    listed = yaml.safe_dump([dict(source) for source in sources], sort_keys=False, allow_unicode=True, width=1000)
    indented = "".join(f"  {line}\n" for line in listed.splitlines())
    return (
        "# A Sluice recipe: `sluice run` carries it out, and goes on where it was if it is stopped.\n"
        f"sluice: 1\nname: {_scalar(name)}\nseed: 0   # of everything that is drawn\n\n{comments}"
        f"sources:\n{indented}{f'unit: {unit}   # samples a piece of work' + chr(10) if unit else ''}\n"
        f"{RULES.format(when_null_extension=_EXTENSION)}{RIGHTS if rights else NO_RIGHTS}{DUPLICATES}\n"
        f"{quality}\n{REST}"
    )


def _scalar(text: str) -> str:
    if not text:
        raise RecipeError("a recipe needs a name")
    return yaml.safe_dump(text, allow_unicode=True).removesuffix("\n...\n").strip()
