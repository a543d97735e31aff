"""COCO, LLaVA and VQA files: joined by id, streamed, every entry accounted for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.errors import SourceError
from sluice.sources.json_scan import open_json


@pytest.fixture
def folder(tmp_path: Path, image) -> Path:
    (tmp_path / "im").mkdir()
    for number in range(4):
        (tmp_path / f"im/COCO_val2014_{number:012d}.jpg").write_bytes(image(number))
    return tmp_path


def save(path: Path, value: object, **options) -> None:
    path.write_text(json.dumps(value, **options), encoding="utf-8")


def name(number: int) -> str:
    return f"COCO_val2014_{number:012d}.jpg"


def coco() -> dict:
    return {
        "info": {"description": "COCO ü"},
        "licenses": [{"id": 1, "url": "http://cc/by", "name": "BY"}, {"id": 2, "name": "own"}],
        "annotations": [{"id": at, "image_id": at % 3, "caption": f"Käfer {at}"} for at in range(9)],
        "images": [
            {"id": 0, "file_name": name(0), "license": 1, "flickr_url": "http://f/0", "coco_url": "http://c/0"},
            {
                "id": 1,
                "file_name": name(1),
                "license": 2,
                "coco_url": "http://c/1",
                "date_captured": "2013-11-14 17:02:52",
            },
            {"id": 2, "file_name": name(2), "license": 7, "width": 8},
            {"id": 3, "file_name": name(3)},
        ],
    }


@pytest.mark.parametrize("options", [{}, {"indent": 2}, {"ensure_ascii": False}])
def test_captions_stay_with_their_image_in_order(folder: Path, samples, texts, pixels, image, options) -> None:
    save(folder / "c.json", coco(), **options)
    found = samples("coco", "c.json", images="im")
    assert list(found) == [name(number) for number in range(4)]
    for number, sample in enumerate(found.values()):
        assert pixels(sample) == [image(number)]
        assert texts(sample, "caption") == [f"Käfer {at}" for at in range(9) if at % 3 == number]
        assert sample.rights.dataset == "COCO ü"
    first, second, third, last = (sample.rights for sample in found.values())
    assert (first.licence, second.licence, third.licence, last.licence) == ("http://cc/by", "own", None, None)
    assert (first.source_url, second.source_url, second.fetched) == ("http://f/0", "http://c/1", "2013-11-14T17:02:52")
    assert found[name(2)].meta == {"image_id": 2, "width": 8, "license": 7}
    assert found[name(0)].items[1].meta == {"id": 0}


def test_instances_are_objects_of_the_image(folder: Path, samples) -> None:
    box = {"id": 5, "image_id": 1, "category_id": 18, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 3]], "iscrowd": 0}
    save(
        folder / "i.json", {"images": coco()["images"], "annotations": [box], "categories": [{"id": 18, "name": "dog"}]}
    )
    meta = samples("coco", "i.json", images="im")[name(1)].items[0].meta
    del box["image_id"]
    assert meta == {"objects": [{"category": "dog", **box}]}


def test_what_does_not_join_is_accounted_for(folder: Path, samples) -> None:
    value = coco()
    value["images"] += [{"id": 8, "file_name": "gone.jpg"}, {"id": 9}, {"id": 9, "file_name": name(3)}]
    value["annotations"] += [{"id": 90, "image_id": 77, "caption": "x"}, {"id": 91, "image_id": 77, "caption": "y"}]
    value["annotations"] += [{"id": 92, "caption": "x"}, {"id": 93, "image_id": 0, "caption": 5}]
    save(folder / "c.json", value)
    failures = {
        key: sample.failure[1] for key, sample in samples("coco", "c.json", images="im").items() if sample.failure
    }
    assert [key.partition("@")[0] for key in failures] == [
        name(0),
        "gone.jpg",
        "images[5]",
        f"{name(3)}#2",
        "image 77",
        "annotation",
    ]
    said = [
        "a caption that is no text",
        "no such file",
        "has no file_name",
        "id 9 is there twice",
        "does not have",
        "names no image",
    ]
    for message, words in zip(failures.values(), said, strict=True):
        assert words in message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "expected a COCO file with `images` and `annotations`, found nothing"),
        ({"questions": [1]}, ".*found questions.*`type: vqa`"),
        ([{"conversations": []}], ".*found one array.*`type: llava`"),
    ],
)
def test_another_kind_of_json_is_an_error(folder: Path, source, value, message: str) -> None:
    save(folder / "c.json", value)
    with pytest.raises(SourceError, match=rf"c\.json: {message}"):
        list(source("coco", "c.json", images="im").samples())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "byte 0: expected an object or an array"),
        ('{"images": [{"id": 1}', "byte 21: the file ends here: it is cut"),
        ('{"images": [{"id": 1,}]}', "byte 12: .*property name"),
        ('{"images": [1 2]}', "byte 14: expected a comma or ]"),
        ('{"images": []} x', "byte 15: expected the end of the file"),
        ("{5: 1}", "byte 1: expected a name"),
        ('{"a" 1}', "byte 5: expected a colon"),
        ("[" * 100_000, "malformed JSON"),
    ],
)
def test_malformed_json_is_an_error_that_names_the_byte(folder: Path, source, text: str, message: str) -> None:
    (folder / "c.json").write_text(text)
    with pytest.raises(SourceError, match=message):
        list(source("coco", "c.json", images="im").samples())


def test_a_missing_image_folder_is_an_error(folder: Path, source) -> None:
    save(folder / "c.json", coco())
    with pytest.raises(SourceError, match="none: no such folder of images"):
        list(source("coco", "c.json", images="none").samples())


def test_remote_annotations_and_images_read_the_same(folder: Path, samples, pixels) -> None:
    save(folder / "c.json", coco())
    for path in [folder / "c.json", *(folder / "im").iterdir()]:
        with fsspec.open(f"memory://coco/{path.relative_to(folder)}", "wb") as file:
            file.write(path.read_bytes())
    local = samples("coco", "c.json", images="im")
    remote = samples("coco", "memory://coco/c.json", images="memory://coco/im")
    assert [(key, pixels(sample), sample.rights) for key, sample in local.items()] == [
        (key, pixels(sample), sample.rights) for key, sample in remote.items()
    ]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(st.text(), st.lists(st.dictionaries(st.text(), _json)) | st.integers(), max_size=4),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_scanning_finds_what_the_json_module_finds(tmp_path_factory, value, indent, ascii_only) -> None:
    path = tmp_path_factory.mktemp("json") / "a.json"
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    path.write_bytes(text.encode("utf-8", "surrogatepass") if ascii_only else text.encode("utf-8", "replace"))
    value = json.loads(path.read_bytes())
    with open_json(str(path)) as file:
        found = list(file.elements())
        read = [file.read(element.start, element.size) for element in found if isinstance(element.value, dict)]
    assert read == [entry for entries in value.values() if isinstance(entries, list) for entry in entries]
    assert [element.value for element in found if isinstance(element.value, int)] == [
        entry for entry in value.values() if isinstance(entry, int)
    ]


def test_files_larger_than_what_is_held_are_scanned(folder: Path, samples, texts) -> None:
    value = coco()
    value["annotations"] += [{"id": at, "image_id": 3, "caption": f"ü{at} " * 50} for at in range(9, 9_000)]
    save(folder / "c.json", value, ensure_ascii=False)
    assert (folder / "c.json").stat().st_size > 2**21
    assert len(texts(samples("coco", "c.json", images="im")[name(3)])) == 8_991


def llava() -> list[dict]:
    return [
        {
            "id": "one",
            "image": name(0),
            "model": "x",
            "conversations": [
                {"from": "system", "value": "be ünderstood"},
                {"from": "human", "value": "<image>\nwhat?"},
                {"from": "gpt", "value": "a kite "},
            ],
        },
        {"id": "two", "image": [name(1), name(2)], "conversations": [{"from": "human", "value": "<image> or <image>"}]},
        {"id": "text", "conversations": [{"from": "human", "value": "hi"}]},
        {"id": "one", "image": name(3), "conversations": [{"from": "human", "value": "<image>"}]},
    ]


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_conversations_are_kept_verbatim_behind_their_images(folder: Path, samples, pixels, image, form: str) -> None:
    if form == "json":
        save(folder / "l.json", llava(), ensure_ascii=False)
    else:
        (folder / "l.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in llava()))
    found = samples("llava", f"l.{form}", images="im")
    assert list(found) == ["one", "two", "text", "one#2"]
    assert [(item.role, item.text) for item in found["one"].items] == [
        ("image", None),
        ("system", "be ünderstood"),
        ("human", "<image>\nwhat?"),
        ("gpt", "a kite "),
    ]
    assert found["one"].meta == {"model": "x"}
    assert pixels(found["two"]) == [image(1), image(2)]
    assert all(sample.failure is None for sample in found.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conversations": [{"from": "human", "value": "what?"}]}, "1 images, but 0 <image> placeholders"),
        ({"image": None}, "0 images, but 1 <image> placeholders"),
        ({"image": "gone.jpg"}, "gone.jpg: no such file"),
        ({"image": 5}, "`image` is to be a file name or a list"),
        ({"conversations": []}, "expected a list of"),
        ({"conversations": [{"from": "alien", "value": "<image>"}]}, "turn 0: unknown speaker 'alien'"),
        ({"conversations": [{"from": "human", "value": 3}]}, "turn 0: expected a text, found int"),
        ({"conversations": [{"from": "human", "value": "<image>"}, 7]}, "turn 1: expected an object, found int"),
    ],
)
def test_a_bad_conversation_fails_alone(folder: Path, samples, change, message: str) -> None:
    save(folder / "l.json", [{**llava()[0], "id": "bad", **change}, *llava()])
    found = samples("llava", "l.json", images="im")
    assert message in found["bad"].failure[1]
    assert [key for key, sample in found.items() if sample.failure] == ["bad"]


def test_json_without_conversations_is_an_error(folder: Path, source) -> None:
    for value in ({"images": [1]}, [], [{"a": 1}]):
        save(folder / "l.json", value)
        with pytest.raises(SourceError, match=r"l\.json: expected a list of"):
            list(source("llava", "l.json", images="im").samples())


def vqa(folder: Path, answers: list[str]) -> None:
    questions = [{"image_id": at, "question": f"how many {at}?", "question_id": at * 10} for at in range(3)]
    save(folder / "q.json", {"info": {"description": "VQA"}, "data_subtype": "val2014", "questions": questions})
    given = [{"answer": answer, "answer_confidence": "yes", "answer_id": at} for at, answer in enumerate(answers, 1)]
    annotation = {"question_type": "how many", "answer_type": "number", "multiple_choice_answer": "2", "answers": given}
    save(
        folder / "a.json", {"annotations": [{**annotation, "question_id": at * 10, "image_id": at} for at in (2, 1, 0)]}
    )


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from(["2", "3", "vier", "5 or so"]), min_size=10, max_size=10))
def test_answers_are_weighted_by_how_many_gave_them(tmp_path_factory, answers) -> None:
    from pydantic import TypeAdapter

    from sluice.sources import SourceConfig, open_source

    folder = tmp_path_factory.mktemp("vqa")
    (folder / "im").mkdir()
    for at in range(3):
        (folder / "im" / name(at)).write_bytes(b"x")
    vqa(folder, answers)
    config = {"type": "vqa", "path": "q.json", "annotations": "a.json", "images": "im"}
    found = list(open_source(TypeAdapter[SourceConfig](SourceConfig).validate_python(config), folder).samples())
    assert [sample.key for sample in found] == ["0", "10", "20"]
    for sample in found:
        weights = {item.text: item.weight for item in sample.items if item.role == "answer"}
        assert weights == {answer: min(count / 3, 1) for answer, count in Counter(answers).items()}
        assert [answer["answer"] for answer in sample.meta["answers"]] == answers
        assert sample.meta["question_type"] == "how many"
        assert sample.items[0].kind == "image" and sample.items[1].role == "question"
        assert sample.rights.dataset == "VQA"


def test_questions_and_annotations_that_do_not_join_are_accounted_for(folder: Path, samples) -> None:
    vqa(folder, ["2"] * 10)
    annotations = json.loads((folder / "a.json").read_text())
    annotations["annotations"][0]["question_id"] = 99
    annotations["annotations"][1]["answers"] = []
    save(folder / "a.json", annotations)
    (folder / "im" / name(0)).unlink()
    found = samples("vqa", "q.json", annotations="a.json", images="im")
    messages = [sample.failure and sample.failure[1] for sample in found.values()]
    said = ["no such file", "no list of answers", "0 annotations of it", "a question that is not there"]
    for message, words in zip(messages, said, strict=True):
        assert words in (message or "")


def test_a_test_set_has_questions_only(folder: Path, samples, texts) -> None:
    vqa(folder, ["2"] * 10)
    found = samples("vqa", "q.json", images="im")
    assert [texts(sample) for sample in found.values()] == [[f"how many {at}?"] for at in range(3)]
    elsewhere = samples("vqa", "q.json", images="im", pattern="COCO_val2014_{id:012d}.jpg")
    assert list(elsewhere) == list(found)
    assert "does not fit" in samples("vqa", "q.json", images="im", pattern="{no}.jpg")["0"].failure[1]


def test_swapped_or_other_files_are_an_error(folder: Path, source) -> None:
    vqa(folder, ["2"] * 10)
    save(folder / "other.json", {"data_subtype": "x", "questions": []})
    for path, answers, message in (
        ("a.json", "q.json", r"a\.json: expected VQA questions .*`path` is the questions file"),
        ("q.json", "q.json", r"q\.json: expected VQA annotations under `annotations`, found none"),
        ("other.json", None, r"other\.json: expected VQA questions"),
        ("*.json", None, "expected one VQA file, found 3"),
    ):
        with pytest.raises(SourceError, match=message):
            list(source("vqa", path, annotations=answers, images="im").samples())
