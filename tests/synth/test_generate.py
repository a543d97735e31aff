from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageOps

from sluice.errors import RunError
from sluice.synth import Scene, generate
from sluice.synth.plan import DEFECTS, HARMLESS, plan
from sluice.synth.score import score  # noqa: F401 - the room's whole surface imports without a cycle

MAGIC = {b"\xff\xd8\xff": "jpeg", b"\x89PN": "png", b"RIF": "webp"}


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return ImageOps.exif_transpose(image).convert("RGB")


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_workers(tmp_path):
    one = generate(tmp_path / "one", count=45, seed=11, workers=1, masks=True)
    three = generate(tmp_path / "three", count=45, seed=11, workers=3, masks=True)
    assert contents(tmp_path / "one") == contents(tmp_path / "three")
    assert one.planted == three.planted


def test_another_seed_gives_another_world(tmp_path):
    generate(tmp_path / "one", count=3, seed=1, workers=1)
    generate(tmp_path / "two", count=3, seed=2, workers=1)
    assert not set(contents(tmp_path / "one").values()) & set(contents(tmp_path / "two").values())


def test_a_script_without_a_main_guard_can_generate(tmp_path):
    script = tmp_path / "plain.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom sluice.synth import generate\ngenerate(Path('w'), 4)\n"
    )
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, check=True)
    assert len(list((tmp_path / "w" / "images").iterdir())) == 4


def test_a_world_is_written_over_by_a_new_one_and_nothing_of_the_old_is_left(tmp_path):
    generate(tmp_path / "w", count=9, seed=1, workers=1, masks=True)
    generate(tmp_path / "w", count=2, seed=2, workers=1)
    generate(tmp_path / "fresh", count=2, seed=2, workers=1)
    assert contents(tmp_path / "w") == contents(tmp_path / "fresh")


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="holds no world"):
        generate(tmp_path, count=2)
    assert contents(tmp_path).keys() == {"letter.txt"}


def test_no_samples_are_refused(tmp_path):
    with pytest.raises(RunError, match="at least one"):
        generate(tmp_path / "w", count=0)


@pytest.mark.parametrize("count", [1, 7, 60, 2000])
def test_a_plan_has_about_seven_good_samples_in_ten_and_spreads_the_rest_evenly(count):
    parts = plan(count, 5)
    assert [part.index for part in parts] == list(range(count))
    planted = [sum(part.defect == defect for part in parts) for defect in DEFECTS]
    assert sum(planted) == round(count * 0.3)
    assert max(planted) - min(planted) <= 1


def test_a_partner_is_a_good_sample_that_serves_once():
    parts = plan(2000, 5)
    partners = [part.partner for part in parts if part.partner is not None]
    assert len(partners) == len(set(partners)) > 100
    assert all(parts[partner].defect is None for partner in partners)


def test_every_row_has_an_image_and_every_image_a_row(seen):
    on_disk = {f"images/{path.name}" for path in (seen.folder / "images").iterdir()}
    assert on_disk == seen.rows.keys() == {fact["key"] for fact in seen.truth}
    assert seen.world.good == len(seen.spoiled(None))
    assert all(row["captions"] and all(row["captions"]) for row in seen.rows.values())


def test_what_is_to_be_kept_is_what_is_good_or_harmless(seen):
    for fact in seen.truth:
        assert (fact["expected"] == "keep") == (fact["defect"] is None or fact["defect"] in HARMLESS)
        assert fact["needs_model"] == (fact["defect"] in ("mismatched_caption", "attribute_swapped_caption"))


def test_truncated_files_do_not_load_and_all_others_do(seen):
    for fact in seen.truth:
        path = seen.folder / fact["key"]
        if fact["defect"] == "truncated":
            with pytest.raises((OSError, SyntaxError)):
                picture(path)
        else:
            picture(path)


def test_extensions_lie_exactly_where_the_truth_says_so(seen):
    for fact in seen.truth:
        path = seen.folder / fact["key"]
        found = MAGIC[path.read_bytes()[:3]]
        assert (found == path.suffix[1:].replace("jpg", "jpeg")) == (fact["defect"] != "wrong_extension"), fact


def test_an_exact_duplicate_has_the_bytes_of_its_partner_and_nothing_else_has(seen):
    digests = {fact["key"]: sha256((seen.folder / fact["key"]).read_bytes()).hexdigest() for fact in seen.truth}
    copies = seen.spoiled("exact_duplicate")
    assert copies
    assert all(digests[copy["key"]] == digests[copy["partner"]] for copy in copies)
    assert len(set(digests.values())) == len(digests) - len(copies)


def test_near_duplicates_are_within_eight_bits_of_their_partner_and_differ_in_bytes(seen):
    # measured over 2,000 samples: recompressed <= 2 bits, resized <= 2, watermarked <= 6, cropped <= 8
    for fact in seen.spoiled("near_duplicate"):
        copy, original = (seen.folder / fact[which] for which in ("key", "partner"))
        assert copy.read_bytes() != original.read_bytes()
        assert imagehash.phash(picture(copy)) - imagehash.phash(picture(original)) <= 8, fact


def test_unrelated_images_are_far_apart(seen):
    facts = [f for f in seen.truth if f["defect"] not in ("near_duplicate", "exact_duplicate", "truncated", "dark")]
    hashes = [imagehash.phash(picture(seen.folder / fact["key"])).hash.ravel() for fact in facts]
    bits = np.array(hashes, dtype=np.int32)
    apart = (bits[:, None, :] != bits[None, :, :]).sum(axis=2)
    assert apart[np.triu_indices(len(bits), 1)].min() > 8


def test_a_rotated_photo_is_upright_once_its_tag_is_heeded(seen):
    for fact in seen.spoiled("exif_rotated"):
        with Image.open(seen.folder / fact["key"]) as stored:
            assert stored.getexif()[0x0112] == int(fact["detail"][-1]) != 1
            shown = ImageOps.exif_transpose(stored)
        scene = Scene.from_json(fact["scene"])
        assert shown.width / shown.height == pytest.approx(scene.aspect, rel=0.02)


def test_sizes_shapes_and_light_are_what_the_truth_says(seen):
    for fact in seen.truth:
        if fact["defect"] == "truncated":
            continue
        image = picture(seen.folder / fact["key"])
        short, long = sorted(image.size)
        brightness = np.asarray(image.convert("L")).mean()
        assert (short < 64) == (fact["defect"] == "tiny"), fact
        assert (long / short > 4) == (fact["defect"] == "banner"), fact
        assert (brightness < 20) == (fact["defect"] == "dark"), fact


def test_blurred_pictures_are_far_softer_than_good_ones(seen):
    def laplacian_variance(fact) -> float:
        image = picture(seen.folder / fact["key"]).convert("L")
        image.thumbnail((256, 256), Image.Resampling.BOX)
        a = np.asarray(image, dtype=np.float64)
        return (a[1:-1, :-2] + a[1:-1, 2:] + a[:-2, 1:-1] + a[2:, 1:-1] - 4 * a[1:-1, 1:-1]).var()

    blurred = [laplacian_variance(fact) for fact in seen.spoiled("blur")]
    good = [laplacian_variance(fact) for fact in seen.spoiled(None)]
    assert max(blurred) < 50 < np.quantile(good, 0.01)


def test_masks_and_boxes_agree_and_hold_what_the_scene_says(seen):
    checked = 0
    for number, fact in enumerate(seen.truth):
        boxes = json.loads(fact["boxes"]) if fact["boxes"] else []
        path = seen.folder / "masks" / f"{number:06d}.png"
        assert path.exists() == bool(fact["boxes"])
        if not boxes:
            continue
        mask = np.asarray(Image.open(path))
        assert mask.max() <= fact["objects"] == len(boxes)
        for thing, (placed, box) in enumerate(zip(Scene.from_json(fact["scene"]).things, boxes, strict=True), 1):
            assert box is not None, "things never hide each other"
            seen_rows, seen_columns = np.nonzero(mask == thing)
            assert seen_columns.min() / mask.shape[1] == pytest.approx(box[0], abs=1e-3)
            assert (seen_rows.max() + 1) / mask.shape[0] == pytest.approx(box[3], abs=1e-3)
            assert box[0] - 0.02 < placed.x < box[2] + 0.02
            checked += 1
    assert checked > 300


def test_rights_are_missing_or_forbidden_exactly_where_planted(seen):
    for fact in seen.truth:
        licence = seen.rows[fact["key"]]["licence"]
        assert (licence is None) == (fact["defect"] == "missing_licence")
        restricted = licence is not None and any(mark in licence.lower() for mark in ("-nc", "-nd"))
        assert restricted == (fact["defect"] == "forbidden_licence")


def test_declared_languages_lie_exactly_where_planted(seen):
    for fact in seen.truth:
        if fact["defect"] not in ("boilerplate_caption", "file_name_caption"):
            declared = seen.rows[fact["key"]]["language"]
            assert (declared != fact["language"]) == (fact["defect"] == "wrong_language_tag")


def test_questions_are_about_pictures_that_show_the_answer(seen):
    asked = json.loads((seen.folder / "questions.json").read_text())["questions"]
    defect = {fact["key"]: fact["defect"] for fact in seen.truth}
    assert len(asked) > 300
    assert {question["kind"] for question in asked} >= {"count", "colour", "relation", "reading", "yes_no"}
    assert not {defect[question["path"]] for question in asked} & {"tiny", "dark", "blur", "truncated"}
