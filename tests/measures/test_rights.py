"""`rights.licence`: what sources write, and what it must come out as. The SPDX list itself is the oracle of ids."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.measures.base import registered
from sluice.measures.rights import _spdx_ids, _table, spdx

STATED = {
    # Creative Commons: abbreviations
    "CC BY 4.0": "CC-BY-4.0",
    "CC-BY 4": "CC-BY-4.0",
    "ccby4.0": "CC-BY-4.0",
    "cc-by-nc-nd-4.0": "CC-BY-NC-ND-4.0",
    "CC BY-SA 2.0 Generic": "CC-BY-SA-2.0",
    "CC BY-SA-NC 4.0": "CC-BY-NC-SA-4.0",
    "by-nc-nd 2.0": "CC-BY-NC-ND-2.0",
    "CC BY 4.0 by John Smith": "CC-BY-4.0",
    "CC BY 4.0 in general use": "CC-BY-4.0",
    "CC BY-NC-SA 4.0 (non-commercial use only)": "CC-BY-NC-SA-4.0",
    "CC BY-SA 3.0 DE": "CC-BY-SA-3.0-DE",
    "CC0": "CC0-1.0",
    "cc-zero": "CC0-1.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "pdm": "CC-PDM-1.0",
    # Creative Commons: deeds
    "https://creativecommons.org/licenses/by/4.0/": "CC-BY-4.0",
    "http://creativecommons.org/licenses/by-nc-sa/2.0/": "CC-BY-NC-SA-2.0",
    "creativecommons.org/licenses/by-nc-sa/4.0": "CC-BY-NC-SA-4.0",
    "https://creativecommons.org/licenses/by-sa/3.0/de/legalcode": "CC-BY-SA-3.0-DE",
    "https://creativecommons.org/licenses/by/3.0/igo/": "CC-BY-3.0-IGO",
    "http://creativecommons.org/publicdomain/zero/1.0/deed.en": "CC0-1.0",
    "https://creativecommons.org/publicdomain/mark/1.0/": "CC-PDM-1.0",
    "http://creativecommons.org/licenses/publicdomain/": "CC-PDDC",
    # Creative Commons: names in five languages
    "Creative Commons Attribution 2.0": "CC-BY-2.0",
    "Attribution-NonCommercial 2.0": "CC-BY-NC-2.0",
    "Attribution 4.0 International (CC BY 4.0)": "CC-BY-4.0",
    "Creative Commons Attribution-NoDerivatives 4.0": "CC-BY-ND-4.0",
    "This image is licensed under the Creative Commons Attribution-Share Alike 4.0 license.": "CC-BY-SA-4.0",
    "Licensed under a Creative Commons Attribution-NonCommercial 4.0 International License. To view a copy, "
    "visit http://creativecommons.org/licenses/by-nc/4.0/.": "CC-BY-NC-4.0",
    "Namensnennung - Weitergabe unter gleichen Bedingungen 4.0 International": "CC-BY-SA-4.0",
    "Namensnennung-Nicht kommerziell 3.0 Deutschland": "CC-BY-NC-3.0-DE",
    "Atribución-NoComercial-CompartirIgual 4.0 Internacional": "CC-BY-NC-SA-4.0",
    "知识共享 署名-相同方式共享 4.0 国际": "CC-BY-SA-4.0",
    "Attribution - Pas d’Utilisation Commerciale 4.0 International": "CC-BY-NC-4.0",
    # no version, or a port that SPDX does not list: said, but not made up
    "CC BY": "LicenseRef-CC-BY",
    "cc-by-sa": "LicenseRef-CC-BY-SA",
    "Attribution License": "LicenseRef-CC-BY",
    "Attribution-NonCommercial-ShareAlike License": "LicenseRef-CC-BY-NC-SA",
    "Attribution-NonCommercial-NoDerivs License": "LicenseRef-CC-BY-NC-ND",
    "by": "LicenseRef-CC-BY",
    "CC BY 3.0 BR": "LicenseRef-CC-BY-3.0-BR",
    "https://creativecommons.org/licenses/by/3.0/br/": "LicenseRef-CC-BY-3.0-BR",
    "CC BY 5.0": "LicenseRef-CC-BY-5.0",
    "Paternité - Partage des Conditions Initiales à l’Identique 3.0 France": "LicenseRef-CC-BY-SA-3.0-FR",
    "http://creativecommons.org/licenses/sampling+/1.0/": "LicenseRef-CC-SAMPLING-PLUS-1.0",
    "apache": "LicenseRef-Apache",
    "BSD": "LicenseRef-BSD",
    "GFDL": "LicenseRef-GFDL",
    "GPL": "LicenseRef-GPL",
    # software licences
    "MIT": "MIT",
    "The MIT License (MIT)": "MIT",
    "Released under the MIT license by Anna": "MIT",
    "Apache 2": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Licensed under the Apache License, Version 2.0 (the License)": "Apache-2.0",
    "GPLv3": "GPL-3.0-only",
    "GPL-3.0+": "GPL-3.0-or-later",
    "GNU GPL v2 or later": "GPL-2.0-or-later",
    "GNU General Public License v3.0": "GPL-3.0-only",
    "GFDL 1.2 or later": "GFDL-1.2-or-later",
    "GFDL-1.2": "GFDL-1.2-only",
    "BSD 3-Clause License": "BSD-3-Clause",
    "bsd-2-clause": "BSD-2-Clause",
    "Mozilla Public License 2.0": "MPL-2.0",
    "ODbL": "ODbL-1.0",
    "Open Government Licence v3.0": "OGL-UK-3.0",
    "https://opensource.org/licenses/MIT": "MIT",
    "https://opensource.org/license/bsd-3-clause/": "BSD-3-Clause",
    "https://spdx.org/licenses/CC-BY-4.0.html": "CC-BY-4.0",
    "http://www.apache.org/licenses/LICENSE-2.0": "Apache-2.0",
    "https://www.gnu.org/licenses/gpl-3.0.html": "GPL-3.0-only",
    "https://www.mozilla.org/en-US/MPL/2.0/": "MPL-2.0",
    "https://opendatacommons.org/licenses/odbl/1-0/": "ODbL-1.0",
    # statements that are no licence
    "Public domain": "LicenseRef-Public-Domain",
    "PD-old-100": "LicenseRef-Public-Domain",
    "gemeinfrei": "LicenseRef-Public-Domain",
    "Public Domain Mark 1.0": "CC-PDM-1.0",
    "All rights reserved": "LicenseRef-All-Rights-Reserved",
    "© 2020 John Smith. Alle Rechte vorbehalten.": "LicenseRef-All-Rights-Reserved",
    "No known copyright restrictions": "LicenseRef-No-Known-Copyright",
    "http://flickr.com/commons/usage/": "LicenseRef-No-Known-Copyright",
    "United States Government Work": "LicenseRef-US-Government-Work",
    "http://www.usa.gov/copyright.shtml": "LicenseRef-US-Government-Work",
    "http://rightsstatements.org/vocab/InC/1.0/": "LicenseRef-RightsStatements-InC-1.0",
    "https://unsplash.com/license": "LicenseRef-Unsplash",
    "Pexels License": "LicenseRef-Pexels",
    # numbers, where they are said to be Flickr's or COCO's
    "flickr license 4": "CC-BY-2.0",
    "Flickr licence: 0": "LicenseRef-All-Rights-Reserved",
    "flickr license id 9": "CC0-1.0",
    "COCO license 3": "CC-BY-NC-ND-2.0",
    "coco:7": "LicenseRef-No-Known-Copyright",
}
NOT_STATED = [
    "unknown",
    "",
    "  ",
    "see website",
    "other",
    "none",
    "n/a",
    "4",
    "cc",
    "Creative Commons",
    "Creative Commons 4.0",
    "proprietary",
    "royalty free",
    "Free to use",
    "Fair use",
    "Adobe Stock",
    "Photo by John",
    "Photo by ND Smith",
    "Taken by NC police",
    "Attribution: John Smith",
    "Courtesy of MIT",
    "© MIT",
    "not CC BY 4.0",
    "This is not in the public domain",
    "CC BY-SA-ND 4.0",
    "CC BY 4.0 and CC BY-SA 4.0",
    "CC BY-SA 4.0, GFDL",
    "MIT or Apache-2.0",
    "CC BY 4.0, all rights reserved",
    "https://example.com/licenses/by/4.0",
    "https://creativecommons.org/licenses/list.en",
    "flickr license 77",
    "coco 2017",
    "CC BY 4.0 " * 300,
]


@pytest.mark.parametrize(("text", "expected"), STATED.items())
def test_what_a_source_states_comes_out_as_one_id(text: str, expected: str) -> None:
    assert spdx(text) == expected
    assert spdx(f"  {text.upper()}\n") == expected


@pytest.mark.parametrize("text", NOT_STATED)
def test_what_is_not_stated_or_not_clear_stays_unknown(text: str) -> None:
    assert spdx(text) is None


def test_every_id_of_the_list_is_read_in_any_case_and_deprecated_ones_are_replaced() -> None:
    assert len(_table()) > 700
    for listed, current, _ in _table():
        assert spdx(listed) == spdx(listed.lower()) == spdx(listed.upper()) == current
        assert spdx(current) == current


def test_official_names_are_read_unless_two_licences_share_one() -> None:
    misread = [(name, spdx(name), current) for _, current, name in _table() if spdx(name) not in (None, current)]
    assert misread == []
    assert sum(spdx(name) is not None for _, _, name in _table()) >= 0.9 * len(_table())


def test_the_measure_reads_the_licence_field_of_the_sample() -> None:
    measure = registered("rights.licence")
    batch = SimpleNamespace(field={"licence": ["CC BY 4.0", None, "", "?"]}.__getitem__)
    assert measure.grain == "sample"
    assert measure.function(batch) == {"spdx": ["CC-BY-4.0", None, None, None]}


WORDS = st.sampled_from(
    [
        *("cc", "by", "nc", "sa", "nd", "4.0", "3.0", "2", "v", "creative", "commons", "attribution", "share", "alike"),
        *("license", "licence", "mit", "gpl", "gfdl", "apache", "public", "domain", "not", "all", "rights", "reserved"),
        *("flickr", "coco", "1", "de", "germany", "or", "later", "+", "-", "(", ")", "/", ",", "©", "zero", "0"),
        *("https://creativecommons.org/licenses/", "https://opensource.org/licenses/", "unsplash.com/license"),
    ]
)


@given(
    st.one_of(
        st.text(st.characters(codec=None, categories=None), max_size=60), st.lists(WORDS, max_size=10).map(" ".join)
    )
)
def test_an_answer_is_null_a_listed_id_or_a_licence_ref_and_its_own_answer(text: str) -> None:
    answer = spdx(text)
    assert answer is None or answer in _spdx_ids() or re.fullmatch(r"LicenseRef-[A-Za-z0-9.-]+", answer)
    assert answer is None or spdx(answer) == answer
