"""The YAML header of a dataset card, in the vocabulary that the Hugging Face Hub accepts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sluice.pack.base import SHARD_NAMES
from sluice.pack.card_facts import CardFacts

# The Hub's licence ids whose spelling follows SPDX (lower case); those that do not are mapped below.
_HUB_LICENCES: Final = frozenset(
    "afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 cc0-1.0 "  # noqa: SIM905
    "cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 "
    "cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cdla-permissive-1.0 "
    "cdla-permissive-2.0 cdla-sharing-1.0 ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 gpl-2.0 gpl-3.0 isc "
    "lgpl-2.1 lgpl-3.0 lppl-1.3c mit mpl-2.0 ms-pl ncsa ofl-1.1 osl-3.0 postgresql unlicense wtfpl zlib".split(" ")
)
_HUB_NAMES: Final = {"odbl-1.0": "odbl", "odc-by-1.0": "odc-by", "pddl-1.0": "pddl", "c-uda-1.0": "c-uda"}
_HUB_FAMILIES: Final = {"gfdl-": "gfdl"}

_LANGUAGE: Final = re.compile(r"[a-z]{2,3}")
_NO_LANGUAGE: Final = frozenset({"und", "mul", "mis", "zxx"})
_LEAST_SHARE: Final = 0.01  # a detector scatters short texts over all it knows: below this it stays out of the header
_SIZES: Final = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
_CONVERSATION: Final = frozenset({"human", "gpt", "system"})
_QUESTIONS: Final = frozenset({"question", "answer"})
_DATASETS_READS: Final = ("parquet", "arrow", "webdataset", "energon", "obelics")  # the first of them that is there


def card_header(facts: CardFacts) -> dict[str, Any]:
    """The header's fields, in the order in which they are written."""
    licences = hub_licences(facts.licences)
    languages = hub_languages(facts.languages)
    header: dict[str, Any] = {"pretty_name": facts.name}
    if licences:
        header["license"] = licences[0] if len(licences) == 1 else licences
    if licences == ["other"]:
        header["license_name"] = ", ".join(sorted(name for name in facts.licences if name))
    if languages:
        header["language"] = languages
        header["multilinguality"] = ["multilingual" if len(languages) > 1 else "monolingual"]
    header["size_categories"] = [size_category(facts.samples)]
    header["task_categories"] = _tasks(facts)
    header["tags"] = ["image", "text", "vision-language", *(made.format for made in facts.formats), "sluice"]
    header["configs"] = _configs(facts)
    return header


def size_category(samples: int) -> str:
    """The Hub's size category of a dataset of `samples`.

    >>> size_category(999), size_category(1_000), size_category(2_500_000)
    ('n<1K', '1K<n<10K', '1M<n<10M')
    """
    if samples < 1_000:
        return "n<1K"
    power = len(str(samples)) - 4  # of ten, above a thousand
    return f"{_SIZES[power]}<n<{_SIZES[power + 1]}" if power < len(_SIZES) - 1 else "n>1T"


def hub_licences(licences: Mapping[str | None, int]) -> list[str]:
    """The Hub's ids of SPDX ids, most samples first; what it has no id for is `other`, null is `unknown`.

    >>> hub_licences({"CC-BY-4.0": 90, "GPL-3.0-or-later": 5, "LicenseRef-mine": 4, None: 10})
    ['cc-by-4.0', 'unknown', 'gpl-3.0', 'other']
    """
    ids = [_hub_licence(spdx) for spdx in sorted(licences, key=lambda spdx: (-licences[spdx], spdx or ""))]
    return list(dict.fromkeys(ids))


def hub_languages(languages: Mapping[str | None, int]) -> list[str]:
    """The languages of at least 1% of the texts, most texts first.

    >>> hub_languages({"en": 900, "de": 90, "pt-BR": 40, "ceb": 2, None: 70})
    ['en', 'de', 'pt']
    """
    total = sum(languages.values())
    counts: dict[str, int] = {}
    for language, texts in languages.items():
        primary = (language or "und").partition("-")[0].lower()
        if _LANGUAGE.fullmatch(primary) and primary not in _NO_LANGUAGE:
            counts[primary] = counts.get(primary, 0) + texts
    common = [language for language, texts in counts.items() if texts >= _LEAST_SHARE * total]
    return sorted(common, key=lambda language: (-counts[language], language))


def config_format(facts: CardFacts) -> str | None:
    """The format that `load_dataset(folder)` reads: `datasets` takes one reader for all configs, so only one."""
    formats = {made.format for made in facts.formats}
    return next((format for format in _DATASETS_READS if format in formats), None)


def split_name(split: str) -> str:
    """The split's name as `datasets` accepts it: letters, digits and underscores."""
    return re.sub(r"\W", "_", split)


def shard_glob(format: str, split: str) -> str:
    """The shards of a split, below the pack's folder."""
    return f"{format}/{split}/*{Path(SHARD_NAMES[format]).suffix}"


def _hub_licence(spdx: str | None) -> str:
    if spdx is None:
        return "unknown"
    name = re.sub(r"-(only|or-later)$|\+$", "", spdx.lower())
    family = next((hub for start, hub in _HUB_FAMILIES.items() if name.startswith(start)), None)
    return name if name in _HUB_LICENCES else _HUB_NAMES.get(name) or family or "other"


def _tasks(facts: CardFacts) -> list[str]:
    roles = {role for role, texts in facts.roles.items() if texts}
    tasks: list[str] = []
    if "caption" in roles:
        tasks += ["image-to-text", "text-to-image"]
    if roles & _QUESTIONS:
        tasks.append("visual-question-answering")
    if roles & _CONVERSATION or facts.most_images > 1:
        tasks.append("image-text-to-text")
    return tasks or ["image-text-to-text"]


def _configs(facts: CardFacts) -> list[dict[str, Any]]:
    format = config_format(facts)
    if format is None:
        return []
    files = [
        {"split": split_name(split), "path": shard_glob(format, split)}
        for split, samples in facts.splits.items()
        if samples
    ]
    return [{"config_name": "default", "data_files": files}]
