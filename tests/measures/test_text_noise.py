"""The flags of `text.basic`: contacts, file names, boilerplate, mojibake, mark-up. Each table is a promise."""

from __future__ import annotations

import pytest
from ftfy.badness import is_bad
from hypothesis import given
from hypothesis import strategies as st

from sluice.measures.boilerplate import is_boilerplate
from sluice.measures.contacts import count_emails, count_phones, count_urls
from sluice.measures.noise import has_html, has_mojibake, is_file_name
from sluice.measures.words import words

any_text = st.text(st.characters(codec=None, categories=None), max_size=60)

FILE_NAMES = [
    "IMG_1234.jpg",
    "IMG_1234",
    "DSC00012",
    "DSC_0012.JPG",
    "DCIM",
    "Screenshot 2020-01-01 at 10.11.12",
    "Screen Shot 2020-01-01 at 10.11.12 AM.png",
    "untitled-3",
    "Untitled",
    "photo_2021-01-01",
    "photo_2021-01-01_12-33-44 (2).jpg",
    "WhatsApp Image 2021-01-01 at 10.10.10 AM",
    "WhatsApp Image 2021-01-01 at 10.10.10.jpeg",
    "5d41402abc4b2a76b9719d911017c592",
    "550e8400-e29b-41d4-a716-446655440000.png",
    "PXL_20210101_123456789",
    "File:IMG 1234.JPG",
    "image (1)",
    "download (2)",
    "Image 12",
    "photo DSC00012",
    "red-cube.jpg",
    "P1010234.JPG",
    "P1010234",
    "20210101_123456",
    "14567890123_abc12f_o",
    "mmexport1512345678901",
    "2021-01-01",
    "Unbenannt 3",
    "capture d’écran 2020-01-01 à 10.10.10",
    "Bildschirmfoto 2020-01-01 um 10.10.10",
    "无标题",
    "DSC00012 (2).jpg",
    "Photo of DSC00012",
    "00012.jpg",
    "100_1234.jpg",
    "IMG-20210101-WA0001",
    "signal-2021-01-01-123456",
    "Image1",
    "Untitled (2)",
    "dcim/100canon/img_0001.jpg",
    "DCIM100",
    "IMG_1234 (12 MB)",
]
NOT_FILE_NAMES = [
    "A red cube",
    "Boeing 747",
    "2021",
    "1984",
    "Apollo 11",
    "red",
    "photo",
    "a dog 1234",
    "Picture of a dog in IMG 20",
    "New",
    "unknown",
    "Copy",
    "Index",
    "The index",
    "Scan of the brain",
    "download",
    "A man in 2021-01-01",
    "deadbeef",
    "decade",
    "facade",
    "Windows 10",
    "iphone 12",
    "WP 7",
    "Mercedes C63",
    "BMW M340",
    "Honda CBR1000",
    "ford f150",
    "Image of a dog.",
    "New York",
    "Sony A7",
    "sam 12",
    "default",
    "temp",
    "Golden retriever running on beach.jpg",
    "A dog on the beach in 2021.",
    "file",
    "Untitled painting of a dog by Anna, 1993",
    "一只狗在海滩上",
    "Figure 3: the results of 12 runs",
]
BOILERPLATE = [
    "image of",
    "Image",
    "photo",
    "Click to enlarge",
    "Stock photo",
    "stock-photo",
    "No caption available",
    "product image 3",
    "Share on Facebook",
    "All rights reserved",
    "© 2021 Getty Images. All rights reserved.",
    "Bild",
    "Zum Vergrößern klicken",
    "cliquez pour agrandir",
    "Haga clic para ampliar",
    "Imagen de",
    "图片",
    "点击查看大图",
    "版权所有",
    "暂无图片",
    "这是一张图片",
    "image of an image",
    "A photo of the",
    "royalty free stock photo",
    "photo by",
    "Image 12 of 30",
    "Alle Rechte vorbehalten",
    "Tous droits réservés",
    "写真",
    "share",
    "read more",
    "no description",
    "This is an image",
    "Photo courtesy of",
    "Click here to enlarge image",
    "Picture",
    "IMAGE NOT AVAILABLE",
    "das Bild zeigt",
    "L'image montre",
    "Placeholder image",
    "La imagen",
]
CAPTIONS = [
    "an image of a red cube next to a blue ball",
    "photo of a dog",
    "A photo of Paris",
    "a red cube",
    "Ein Bild von einem roten Würfel",
    "Imagen de un cubo rojo",
    "红色立方体的图片",
    "这张图片展示了一个红色的立方体",
    "dog",
    "A man takes a photo",
    "A woman clicks to enlarge a map on her computer",
    "The Nike logo on a red shoe",
    "A gallery full of paintings",
    "海辺の犬の写真",
    "Children share a sandwich",
    "printed dress in blue",
    "Stock photo of a smiling young woman drinking coffee",
    "two dogs share a ball",
    "A man reads a newspaper with an advertisement",
    "",
    "Source of the Nile river",
]

PHONES = [
    "+1 555 234 5678",
    "tel: 12345678",
    "Tel. 030/123456",
    "01 23 45 67 89",
    "0171-1234567",
    "555-234-5678",
    "(555) 234-5678",
    "1-800-356-9377",
    "电话：13812345678",
    "138 1234 5678",
    "+49(0)30/123456-78",
    "0049 30 1234567",
    "call us at 555 1234",
    "020 7946 0958",
    "(020) 7946 0958",
    "0800 123 456",
]
NOT_PHONES = [
    "1914-1918 and 1939-1945",
    "2021-01-01 12:30",
    "01/02/2021",
    "01.02.2021",
    "20210101",
    "1920 x 1080",
    "1920x1080",
    "1 000 000 euros",
    "$1,234,567",
    "3.1415926535",
    "192.168.100.200",
    "ISBN 978-3-16-148410-0",
    "photo 14567890123",
    "IMG_20210101_123456",
    "12-34-5678-90 part no",
    "2020 2021 2022 2023",
    "Canon 5D 24-70 100-400",
]
URLS = {
    "see https://a.org/b?c=d, www.x.de or shop.com today": 3,
    "www.example.com": 1,
    "example.co.uk": 1,
    "index.de/foo": 1,
    "ann@example.org": 0,
    "The end.It was red. e.g. this, U.S.A.": 0,
    "version 1.2.3": 0,
    "asp.Net was": 0,
    "http://": 0,
}
MOJIBAKE = [
    *("WÃ¼rfel", "donâ€™t", "Ã©toile", "lost \ufffd here", "Ãœber", "straÃŸe", "Ã‰cole", "niÃ±o", "30Â°C", "Â©2020"),
    *("10 â‚¬", "ÐŸÑ€Ð¸Ð²ÐµÑ‚", "ä½\xa0å¥½", "锟斤拷", "â€œquoteâ€\x9d"),
]
REAL_TEXT = [
    *("Größe 3½ × 2½ m²", "ein »schöner« Tag", "« très »", "¿Qué? ¡Hola!", "50°C à Nîmes", "Œuvre d'art", "cœur"),
    *("ÁÉÍ ČESKÁ ŻÓŁĆ", "São Paulo", "Ångström", "Łódź", "ÑANDÚ", "±5 µm", "№5 «Шанель»", "©2020 Foto®", "20€–30€"),
    *(
        "中文“引号”——",
        "海辺の犬",
        "강아지가 해변에서",
        "Большая собака — на пляже",
        "शुभ दिन",
        "كلب على الشاطئ",
        "Ελλάδα",
    ),
]
HTML = [
    *("red<br>cube", "<b>red</b>", "<p class='x'>a</p>", '<a href="x', "a</div>", "a&nbsp;b", "fish &amp;amp; chips"),
    *("&lt;b&gt;", "&#39;", "&#x27;", "&eacute;t&eacute;", "<!-- x -->", "<!DOCTYPE html>", "Tom &amp Jerry"),
]
NOT_HTML = [
    "a < b",
    "R&D",
    "AT&T; and B&B",
    "1 <3 you",
    "<image>\nWhat is this?",
    "a<b and c>d",
    "<person> waves",
    "Q&A;",
]


@pytest.mark.parametrize("text", FILE_NAMES)
def test_a_caption_that_is_a_file_name_is_flagged(text: str) -> None:
    assert is_file_name(text)
    assert is_file_name(f'  "{text}" ')


@pytest.mark.parametrize("text", NOT_FILE_NAMES)
def test_a_caption_that_is_more_or_other_than_a_file_name_is_not_flagged(text: str) -> None:
    assert not is_file_name(text)


@pytest.mark.parametrize("text", BOILERPLATE)
def test_boilerplate_is_flagged_when_little_else_is_there(text: str) -> None:
    assert is_boilerplate(words(text))
    assert is_boilerplate(words(f"{text.upper()}!"))


@pytest.mark.parametrize("text", CAPTIONS)
def test_a_caption_with_content_is_kept_even_if_it_begins_with_boilerplate(text: str) -> None:
    assert not is_boilerplate(words(text))


@pytest.mark.parametrize("text", PHONES)
def test_a_phone_number_counts_once(text: str) -> None:
    assert count_phones(text) == 1


@pytest.mark.parametrize("text", NOT_PHONES)
def test_years_dates_sizes_and_ids_are_no_phone_numbers(text: str) -> None:
    assert count_phones(text) == 0


@pytest.mark.parametrize(("text", "urls"), URLS.items())
def test_urls_are_counted_and_full_stops_are_not(text: str, urls: int) -> None:
    assert count_urls(text) == urls


def test_emails_are_counted_and_handles_are_not() -> None:
    assert count_emails("ann@example.org, bob.b+c@mail.example.co.uk; @ann, a@b") == 2


@pytest.mark.parametrize("text", MOJIBAKE)
def test_wrongly_decoded_text_is_flagged(text: str) -> None:
    assert has_mojibake(text)
    assert has_mojibake(f"A red cube, {text} and more")


@pytest.mark.parametrize("text", REAL_TEXT)
def test_real_text_in_any_language_is_no_mojibake(text: str) -> None:
    assert not has_mojibake(text)


@given(st.text("aZ .,(àéÃÂâäßœŒÐ€™¡«»°±²¼×ˇ˘†ΒβΞΟЁВГРСўЂ│═Ѓ\x80\x9f\xa0\xadﬁ\ufffd中", max_size=12))
def test_the_quick_check_hides_nothing_from_ftfy(text: str) -> None:
    if is_bad(text):
        assert has_mojibake(text)


@pytest.mark.parametrize("text", HTML)
def test_markup_left_in_is_flagged(text: str) -> None:
    assert has_html(text)


@pytest.mark.parametrize("text", NOT_HTML)
def test_what_only_looks_like_markup_is_not_flagged(text: str) -> None:
    assert not has_html(text)


@given(any_text)
def test_no_text_makes_a_flag_raise(text: str) -> None:
    for flag in (is_file_name, has_html, has_mojibake, count_urls, count_emails, count_phones):
        flag(text)
    is_boilerplate(words(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Dog's red-brown ball, 12,000 px at 12:30", 8),
        ("L'été à la plage", 4),
        ("Ein großer Würfel", 3),
        ("红色的立方体", 6),
        ("海辺の犬", 4),
        ("สุนัขวิ่งเล่นบนชายหาด", 6),
        ("강아지가 해변에서", 2),
        ("हिन्दी में एक कुत्ता", 4),
        ("الكلب على الشاطئ", 3),
        ("cube 红色 abc", 4),
        ("— … !", 0),
    ],
)
def test_words_are_counted_in_scripts_with_and_without_spaces(text: str, expected: int) -> None:
    assert len(words(text)) == expected
