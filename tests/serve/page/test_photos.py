"""Photos, one and many, and what the page says of itself; in Chromium, against the service with canned answers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evenface.data.synthetic import synthetic_face
from evenface.labels import BASIC
from evenface.predict.drawing import COLOURS
from evenface.results import FrameResult, schema

from .acting import bars, calls, give, looks_like, pixel
from .fake import COUNTS, STATIC, Fake, face_of


expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect


def test_the_first_sight_says_what_it_does_whose_word_it_is_and_what_it_is_not_for(page: Any) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Which expression does a face show?")
    text = page.locator("body").inner_text()
    assert "sent to this server only, and are not stored" in text
    assert "An expression is not a feeling" in text
    assert re.search(r"AI Act forbids\s+inferring emotions at work and at school", text)
    assert "Model canned, trained on nothing" in text
    assert "up to 1 MB" in text
    assert all(f"{name} {count:,}" in text for name, count in COUNTS.items())
    assert f"{sum(COUNTS.values()):,} faces" in text
    for name in ("Choose photos", "Use the webcam", "Try drawn faces"):
        expect(page.get_by_role("button", name=name)).to_be_visible()


@pytest.mark.slow
def test_the_card_is_shown_as_text_and_never_as_markup(page: Any) -> None:
    page.get_by_text("The model's own card").click()
    card = page.locator("#card-text")
    expect(card.locator("h4")).to_have_text("a canned model")
    expect(card.locator("b")).to_have_text("nothing")
    expect(card.locator("td")).to_have_text(["data", "none", "method", "canned answers"])
    expect(card.locator("li")).to_have_text(["one point", "another"])
    assert "<script>alert(1)</script>" in card.inner_text()
    assert "tags:" not in card.inner_text()
    assert card.locator("script").count() == 0


@pytest.mark.slow
def test_the_drawn_faces_of_the_example_are_ours(page: Any, fake: Fake) -> None:
    page.get_by_role("button", name="Try drawn faces").click()
    expect(page.locator("#scores")).to_be_visible()
    assert [seen.name for seen in calls(fake)] == ["drawn faces.webp"]
    drawn = [
        synthetic_face(label, seed, 256, plain=True) for label, seed in (("happiness", 2), ("surprise", 3), ("sadness", 1), ("neutral", 0))
    ]
    wanted = np.vstack([np.hstack(drawn[:2]), np.hstack(drawn[2:])]).astype(float)
    with Image.open(STATIC / "example.webp") as image:
        assert np.abs(np.asarray(image.convert("RGB"), dtype=float) - wanted).mean() < 3  # of 255; what the compression took


def test_nothing_in_the_files_is_inline_or_elsewhere() -> None:
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]*\ssrc=)", html)
    for path in STATIC.iterdir():
        if path.suffix != ".webp":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"(https?:)?//(?!www\.w3\.org/2000/svg)[a-z0-9-]+\.[a-z]", text), path.name
            assert "innerHTML" not in text
            assert text.count("\n") <= 400, path.name


def test_one_photo_gives_a_box_and_all_scores(page: Any, fake: Fake) -> None:
    give(page, "one.png", size=(300, 200))
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    face = face_of(0, 1, 300, 200, "model")
    assert bars(page) == {name: f"{100 * p:.1f} %" for name, p in face.scores.items()}
    expect(page.locator("#caption")).to_have_text("one.png, 300 × 200 pixels, 1 face")
    expect(page.locator("#status")).to_have_text("1 face found: happiness 86 %.")
    expect(page.locator("#faces")).to_be_hidden()
    assert [(seen.name, seen.query) for seen in calls(fake)] == [("one.png", {"prior": "model"})]
    x1, _y1, x2, y2 = face.box
    assert looks_like(pixel(page, "#boxes", x1 / 300, 0.5), COLOURS["happiness"])
    assert looks_like(pixel(page, "#boxes", x2 / 300, 0.5), COLOURS["happiness"])
    assert looks_like(pixel(page, "#boxes", 0.5, y2 / 200), COLOURS["happiness"])
    assert pixel(page, "#boxes", 0.5, 0.5)[3] == 0
    widths = [
        row.evaluate("r => r.getBoundingClientRect().width / r.parentElement.getBoundingClientRect().width")
        for row in page.locator(".fill").all()
    ]
    assert widths[0] == pytest.approx(face.score, abs=0.02)


def test_a_face_is_chosen_with_a_click_in_the_picture_or_with_the_arrows(page: Any) -> None:
    give(page, "three.png", size=(600, 200))
    faces = page.locator("#faces")
    expect(faces.get_by_role("radio")).to_have_count(3)
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    area = page.locator("#boxes").bounding_box()
    page.mouse.click(area["x"] + area["width"] * 5 / 6, area["y"] + area["height"] / 2)
    expect(page.locator("#which")).to_have_text("Face 3 of 3")
    expect(page.locator("#verdict")).to_have_text("sadness 76 %")
    expect(faces.get_by_role("radio").nth(2)).to_be_checked()
    faces.get_by_role("radio").nth(2).focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#verdict")).to_have_text("neutral 81 %")
    assert page.locator("#bars tr.highest th").inner_text() == "neutral"
    expect(page.locator("#status")).to_have_text("3 faces found: happiness 86 %, neutral 81 %, sadness 76 %.")


@pytest.mark.slow
def test_a_picture_without_a_face_says_so_and_can_be_taken_as_one(page: Any, fake: Fake) -> None:
    give(page, "none.png")
    expect(page.get_by_role("heading", name="No face was found")).to_be_visible()
    expect(page.locator("#status")).to_have_text("No face was found.")
    page.get_by_role("button", name="Take the whole picture as one face").click()
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    assert [seen.query.get("cropped") for seen in calls(fake)] == [None, "true"]
    expect(page.locator("#status")).to_have_text("1 face found: happiness 86 %.")
    assert page.evaluate("document.activeElement.id") == "panel"  # the button is gone


@pytest.mark.slow
def test_of_many_photos_only_the_one_that_is_taken_as_a_face_is_sent_again(page: Any, fake: Fake) -> None:
    give(page, "none.png", "one.png", "three.png")
    expect(page.locator("#files-done")).to_have_text("3 of 3 done")
    page.get_by_role("button", name="Take the whole picture as one face").click()
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    expect(page.locator("#files-done")).to_have_text("3 of 3 done")
    assert [(seen.name, seen.query.get("cropped")) for seen in calls(fake)][3:] == [("none.png", "true")]


@pytest.mark.slow
def test_a_file_that_is_no_picture_gets_one_sentence(page: Any) -> None:
    give(page, "broken.jpg")
    expect(page.locator("#none-text")).to_have_text("broken.jpg is no picture; send JPEG, PNG, WebP, BMP, GIF or TIFF.")
    expect(page.locator("#status")).to_have_text("broken.jpg is no picture; send JPEG, PNG, WebP, BMP, GIF or TIFF.")
    expect(page.locator("#scores")).to_be_hidden()
    expect(page.get_by_text("The browser cannot show this picture.")).to_be_visible()


@pytest.mark.slow
def test_a_picture_that_the_browser_cannot_show_still_gets_its_boxes(page: Any) -> None:
    out = io.BytesIO()
    Image.new("RGB", (300, 200)).save(out, "TIFF")
    page.locator("#file").set_input_files({"name": "one.tiff", "mimeType": "image/tiff", "buffer": out.getvalue()})
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    expect(page.get_by_text("The boxes stand where its faces are.")).to_be_visible()
    assert looks_like(pixel(page, "#boxes", face_of(0, 1, 300, 200, "model").box[0] / 300, 0.5), COLOURS["happiness"])


@pytest.mark.slow
def test_too_large_a_file_is_not_even_sent(page: Any, fake: Fake) -> None:
    page.locator("#file").set_input_files({"name": "large.png", "mimeType": "image/png", "buffer": bytes((1 << 20) + 1)})
    expect(page.locator("#none-text")).to_have_text("The file is larger than this server takes (1 MB); make it smaller.")
    assert not calls(fake)


@pytest.mark.slow
def test_a_large_picture_is_shown_whole_and_its_boxes_are_scaled(page: Any) -> None:
    give(page, "three.png", size=(4200, 2100))
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    frame, window = page.locator("#frame").bounding_box(), page.viewport_size
    assert frame["width"] < window["width"]
    assert frame["height"] < 0.7 * window["height"]
    assert frame["width"] / frame["height"] == pytest.approx(2, rel=0.01)
    box = face_of(2, 3, 4200, 2100, "model").box
    assert looks_like(pixel(page, "#boxes", box[0] / 4200, 0.5), COLOURS["sadness"])


@pytest.mark.slow
def test_the_canvas_has_the_pixels_of_the_screen(opened: Callable[..., Any]) -> None:
    page = opened(device_scale_factor=2)
    give(page, "one.png")
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    across, css = page.locator("#boxes").evaluate("c => [c.width, c.clientWidth]")
    assert across == 2 * css


@pytest.mark.slow
def test_an_answer_that_comes_late_is_dropped(page: Any) -> None:
    give(page, "slow.png")
    expect(page.get_by_text("Looking for faces")).to_be_visible()
    give(page, "none.png")
    expect(page.get_by_role("heading", name="No face was found")).to_be_visible()
    page.wait_for_timeout(1200)  # the first answer would have come by now
    expect(page.get_by_role("heading", name="No face was found")).to_be_visible()
    expect(page.locator("#caption")).to_contain_text("none.png")


@pytest.mark.slow
def test_a_photo_is_dropped(page: Any, fake: Fake) -> None:
    page.evaluate(
        """async () => {
            const canvas = new OffscreenCanvas(60, 40);
            canvas.getContext("2d").fillRect(0, 0, 60, 40);
            const data = new DataTransfer();
            data.items.add(new File([await canvas.convertToBlob()], "dropped.png", {type: "image/png"}));
            const drop = (kind) => document.querySelector("#drop").dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true}));
            drop("dragenter");
            window.caught = !document.querySelector("#catch").hidden;
            drop("drop");
        }"""
    )
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    assert page.evaluate("window.caught")
    expect(page.locator("#catch")).to_be_hidden()
    assert [seen.name for seen in calls(fake)] == ["dropped.png"]


def test_a_photo_is_pasted(page: Any, fake: Fake) -> None:
    page.evaluate(
        """async () => {
            const canvas = new OffscreenCanvas(60, 40);
            canvas.getContext("2d").fillRect(0, 0, 60, 40);
            await navigator.clipboard.write([new ClipboardItem({"image/png": await canvas.convertToBlob()})]);
        }"""
    )
    page.keyboard.press("Control+V")
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    expect(page.locator("#caption")).to_contain_text("60 × 40 pixels")
    assert len(calls(fake)) == 1


def test_many_photos_become_a_table_and_a_csv_file(page: Any, fake: Fake) -> None:
    names = ["slow, one.png", "slow.png", "three.png", "none.png", "broken.jpg", "busy.png"]
    give(page, *names)
    expect(page.locator("#csv")).to_be_disabled()
    expect(page.locator("#files-done")).to_have_text("6 of 6 done, 1 could not be used")
    states = page.locator("#rows .state").all_inner_texts()
    refused = "broken.jpg is no picture; send JPEG, PNG, WebP, BMP, GIF or TIFF."
    assert states == ["1 face", "1 face", "3 faces", "no face", refused, "1 face"]
    assert fake.most == 2  # at once, not more
    assert [seen.name for seen in calls(fake)].count("busy.png") == 2  # the server was busy, and asked again
    page.get_by_role("button", name="three.png").click()
    expect(page.locator("#which")).to_have_text("Face 1 of 3")

    with page.expect_download() as download:
        page.get_by_role("button", name="Download table (CSV)").click()
    assert download.value.suggested_filename == "evenface-faces.csv"
    with Path(download.value.path()).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [*schema(BASIC).names, "error"]  # the columns of `evenface predict`
    about = {"name": "canned", "classes": list(BASIC), "prior": "model"}
    wanted: list[dict[str, Any]] = []
    for name, count in zip(names, (1, 1, 3, 0, None, 1), strict=True):
        if count is None:
            wanted.append({"source": name, "error": refused})
        else:
            wanted += FrameResult(name, 120, 80, about, tuple(face_of(i, count, 120, 80, "model") for i in range(count))).rows()
    assert len(rows) == len(wanted) == 8
    for row, want in zip(rows, wanted, strict=True):
        for column, said in row.items():
            expected = want.get(column)
            if isinstance(expected, (int, float)):
                assert float(said) == pytest.approx(expected, abs=1e-5), column
            else:
                assert said == (expected or ""), column


@pytest.mark.slow
def test_all_photos_can_be_removed(page: Any) -> None:
    give(page, "one.png", "three.png")
    expect(page.locator("#files-done")).to_have_text("2 of 2 done")
    page.get_by_role("button", name="Remove all").click()
    expect(page.locator("#result")).to_be_hidden()
    expect(page.locator("#files")).to_be_hidden()
    expect(page.get_by_role("button", name="Choose photos")).to_be_focused()
    assert page.locator("#photo").get_attribute("src") is None
