"""The webcam, "Why?", the prior, and a server that asks for a token or is gone."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .acting import calls, give, looks_like, pixel
from .fake import COUNTS, Fake, face_of


expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect


def test_the_webcam_sends_one_frame_at_a_time_and_stops(page: Any, fake: Fake) -> None:
    page.get_by_role("button", name="Use the webcam").click()
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    expect(page.get_by_role("button", name="Stop the webcam")).to_be_focused()
    expect(page.get_by_role("button", name="Why?")).to_be_hidden()
    page.wait_for_timeout(900)
    assert 2 <= len(calls(fake)) <= 8  # a few a second
    assert fake.most == 1
    assert {seen.name for seen in calls(fake)} == {"webcam.jpg"}
    page.get_by_role("button", name="Stop the webcam").click()
    expect(page.locator("#result")).to_be_hidden()
    assert page.locator("#video").evaluate("v => v.srcObject === null")
    before = len(calls(fake))
    page.wait_for_timeout(600)
    assert len(calls(fake)) <= before + 1  # at most the one that was on its way
    expect(page.locator("#result")).to_be_hidden()


@pytest.mark.slow
def test_a_frame_of_the_webcam_can_be_kept_and_explained(page: Any) -> None:
    page.get_by_role("button", name="Use the webcam").click()
    page.get_by_role("button", name="Keep this picture").click()
    expect(page.locator("#caption")).to_contain_text("webcam.jpg, 640 × ")
    expect(page.locator("#video")).to_be_hidden()
    page.get_by_role("button", name="Why?").click()
    expect(page.get_by_role("heading", name="Why happiness?")).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("NotAllowedError", "The webcam was refused; allow it beside the address of this page, then try again."),
        ("NotFoundError", "No webcam was found; plug one in, or choose a photo."),
        (None, "Browsers give the webcam to safe pages only; open this one over https, or as localhost on the same machine."),
    ],
)
def test_a_webcam_that_is_refused_gets_one_sentence(page: Any, error: str | None, sentence: str) -> None:
    page.evaluate(
        """(name) => Object.defineProperty(navigator, "mediaDevices", {value: name && {
            getUserMedia: async () => { throw new DOMException("no", name); }}})""",
        error,
    )
    page.get_by_role("button", name="Use the webcam").click()
    expect(page.get_by_role("alert")).to_contain_text(sentence)
    expect(page.get_by_role("button", name="Use the webcam")).to_be_enabled()
    page.get_by_role("button", name="Close this message").click()
    expect(page.locator("#problem")).to_be_hidden()


ORANGE, BLUE = (230, 110, 0), (0, 105, 190)


def test_why_shows_the_places_of_each_class_on_the_face_and_on_its_mirror(page: Any, fake: Fake) -> None:
    give(page, "three.png", size=(600, 200))
    page.locator("#faces label").nth(1).click()
    page.get_by_role("button", name="Why?").click()
    expect(page.get_by_role("heading", name="Why neutral?")).to_be_focused()
    for canvas, near in (("#map-face", 0.03), ("#map-mirror", 0.97)):  # over the mirror the map is mirrored too
        assert looks_like(pixel(page, canvas, near, 0.03), ORANGE)
        assert looks_like(pixel(page, canvas, 1 - near, 0.97), BLUE)
        assert pixel(page, canvas, 1 - near, 0.03)[3] == 0
    expect(page.locator("#why-place")).to_have_text("The upper left gives most points to neutral (+4.0), the lower right fewest (−4.0).")
    expect(page.locator("#why-face-score")).to_have_text("neutral 81.0 %")
    expect(page.locator("#why-agree")).to_have_text("Yes, it gets the same answer. Its points lie in nearly the same places.")
    expect(page.locator("#why-numbers")).to_contain_text(
        f"typically differ by {0.0123**0.5:.2f} (mean square 0.0123); the correlation of the places is 0.93"
    )

    page.get_by_role("radio", name="neutral").last.focus()
    page.keyboard.press("ArrowRight")  # to sadness
    expect(page.locator("#why-place")).to_contain_text("gives most points to sadness (+2.0)")
    average = (4 * 2.0 - 12 * 0.5) / 16  # of its 4 x 4 points; the colours tell the distance from it, in shares of neutral's 4.0
    red, green, blue, alpha = pixel(page, "#map-face", 0.5, 0.5)
    assert alpha == pytest.approx(255 * 0.85 * (2.0 - average) / 4.0, abs=4)
    assert max(abs(red - 230), abs(green - 110), blue) < 12
    red, green, blue, alpha = pixel(page, "#map-face", 0.03, 0.03)
    assert alpha == pytest.approx(255 * 0.85 * (0.5 + average) / 4.0, abs=4)
    assert max(red, abs(green - 105), abs(blue - 190)) < 12
    expect(page.locator("#why-classes label").nth(2)).to_have_text(f"sadness +{average:.1f}")
    expect(page.locator("#why-classes label").nth(1)).to_have_text("neutral 0.0")

    page.locator("#faces label").nth(2).click()  # the explanation follows the face
    expect(page.get_by_role("heading", name="Why sadness?")).to_be_visible()
    assert len(calls(fake, "/v1/explain")) == 1
    page.locator("#why-close").click()
    expect(page.locator("#why")).to_be_hidden()
    expect(page.get_by_role("button", name="Why?")).to_be_focused()


@pytest.mark.slow
def test_the_strength_of_the_colours_is_set_with_the_keyboard(page: Any) -> None:
    give(page, "one.png")
    page.get_by_role("button", name="Why?").click()
    page.get_by_role("slider", name="Strength of the colours").focus()
    page.keyboard.press("Home")
    assert page.locator("#map-face").evaluate("c => getComputedStyle(c).opacity") == "0"
    page.keyboard.press("End")
    assert page.locator("#map-mirror").evaluate("c => getComputedStyle(c).opacity") == "1"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("numbers", "places"),
    [
        ({"correlation": 0.9, "mean_squared": 1}, "Its points lie in nearly the same places."),
        ({"correlation": 0.7, "mean_squared": 1}, "Its points lie in similar places."),
        ({"correlation": -0.2, "mean_squared": 1}, "Its points lie in other places, so do not read much into where they are."),
        ({"correlation": None, "mean_squared": 0}, "The maps are flat, so there are no places to compare."),
    ],
)
def test_the_agreement_with_the_mirror_is_told_in_words(page: Any, numbers: dict[str, float], places: str) -> None:
    """What it says of the answer goes by the answer to the mirror, and not by where the points lie."""
    words = {
        0.7: "Yes, it gets the same answer.",
        0.3: "No. The model calls the mirror image anger, not fear; do not rely on this answer.",
    }
    for mirrored, answer in words.items():
        said = page.evaluate(
            """async ([numbers, mirrored]) => {
                const { showWhy } = await import("/static/why.js");
                const flat = {fear: [[1, -1]], anger: [[0, 0]]};
                showWhy({crop: "", mirror: "", maps: flat, mirror_maps: flat, scores: {fear: 0.6, anger: 0.4},
                         mirror_scores: {fear: mirrored, anger: 1 - mirrored}, consistency: numbers}, "fear");
                return document.querySelector("#why-agree").textContent;
            }""",
            [numbers, mirrored],
        )
        assert said == f"{answer} {places}"


@pytest.mark.slow
def test_an_explanation_that_fails_gets_one_sentence_and_can_be_tried_again(page: Any) -> None:
    give(page, "mute.png")
    page.get_by_role("button", name="Why?").click()
    expect(page.get_by_role("alert")).to_contain_text("The explanation took too long; try a smaller picture.")
    expect(page.get_by_role("button", name="Why?")).to_be_enabled()
    expect(page.locator("#why")).to_be_hidden()


def test_the_prior_is_switched_and_explained(page: Any, fake: Fake) -> None:
    give(page, "one.png")
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    expect(page.get_by_role("radio", name="As the model decides")).to_be_checked()
    page.get_by_role("radio", name="As the model decides").focus()
    page.keyboard.press("ArrowDown")
    total = sum(COUNTS.values())
    expect(page.locator("#prior-text")).to_contain_text(
        f"{100 * COUNTS['neutral'] / total:.0f} % of the faces show neutral and {100 * COUNTS['disgust'] / total:.1f} % disgust."
    )
    page.get_by_text("All equally common").click()
    expect(page.locator("#verdict")).to_have_text("neutral 86 %")  # as the canned answers have it
    expect(page.locator("#prior-text")).to_contain_text("expected equally often")
    assert [seen.query["prior"] for seen in calls(fake)] == ["model", "train", "balanced"]
    page.get_by_role("button", name="Why?").click()
    expect(page.get_by_role("heading", name="Why neutral?")).to_be_visible()
    assert calls(fake, "/v1/explain")[0].query == {"prior": "balanced"}


@pytest.mark.slow
def test_a_prior_that_the_server_refuses_leaves_all_as_it_was(page: Any, fake: Fake) -> None:
    fake.bad_prior = "balanced"
    give(page, "one.png")
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    page.get_by_text("All equally common").click()
    expect(page.get_by_role("alert")).to_contain_text("The model has no numbers for the prior 'balanced'; take another.")
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    expect(page.get_by_role("radio", name="As the model decides")).to_be_checked()


@pytest.mark.slow
def test_a_photo_that_failed_once_is_tried_again_under_another_prior(page: Any, fake: Fake) -> None:
    """And the table is not to be had while some of its rows are of the prior before."""
    names = ["one.png", "three.png", "none.png"]
    give(page, *names)
    expect(page.locator("#files-done")).to_have_text("3 of 3 done")
    fake.late = {"one.png", "three.png"}
    page.get_by_text("As in its training").click()
    expect(page.locator("#files-done")).to_have_text("3 of 3 done, 2 could not be used")
    fake.late = set()
    page.get_by_role("button", name="none.png").click()  # one whose prior can be chosen
    page.get_by_text("All equally common").click()
    expect(page.locator("#files-done")).to_have_text("3 of 3 done")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download table (CSV)").click()
    with Path(download.value.path()).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows] == ["one.png", *["three.png"] * 3, "none.png"]
    for row, (place, count) in zip(rows, [(0, 1), (0, 3), (1, 3), (2, 3)], strict=False):
        assert row["label"] == face_of(place, count, 120, 80, "balanced").label


@pytest.mark.slow
def test_a_token_that_comes_late_makes_the_page_whole(opened: Callable[..., Any], fake: Fake) -> None:
    fake.token = "open sesame"
    page = opened()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#facts div")).to_have_count(0)
    give(page, "one.png")
    page.get_by_label("Token", exact=True).fill("open sesame")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    expect(page.locator("#facts div").first).to_be_attached()
    page.get_by_text("All equally common").click()
    expect(page.locator("#verdict")).to_have_text("neutral 86 %")


@pytest.mark.slow
def test_a_token_is_asked_for_once_and_sent(opened: Callable[..., Any], fake: Fake) -> None:
    fake.token = "open sesame"
    page = opened()
    page.get_by_label("Token", exact=True).fill("open sesame")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#facts div").first).to_be_visible()
    give(page, "one.png", "three.png")
    expect(page.locator("#files-done")).to_have_text("2 of 2 done")
    assert {seen.token for seen in calls(fake)} == {"Bearer open sesame"}


@pytest.mark.slow
def test_without_the_token_there_is_one_question_and_one_sentence(opened: Callable[..., Any], fake: Fake) -> None:
    page = opened()
    expect(page.locator("#facts div").first).to_be_visible()
    fake.token = "open sesame"
    give(page, "one.png", "three.png", "none.png")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#files-done")).to_have_text("3 of 3 done, 3 could not be used")
    expect(page.locator("dialog")).to_be_hidden()
    assert set(page.locator("#rows .state").all_inner_texts()) == {"This server answers only with the right token; try again and give it."}


@pytest.mark.slow
def test_a_token_that_no_header_can_carry_is_a_wrong_one(opened: Callable[..., Any], fake: Fake) -> None:
    page = opened()
    expect(page.locator("#facts div").first).to_be_visible()
    fake.token = "open-sesame"
    for typed, shown in (("open–sesame", "This server answers only with the right token; try again and give it."), (" open-sesame ", "")):
        give(page, "one.png")
        page.get_by_label("Token", exact=True).fill(typed)
        page.get_by_role("button", name="Go on").click()
        if shown:
            expect(page.locator("#none-text")).to_have_text(shown)
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")


@pytest.mark.slow
def test_the_frequencies_that_the_server_was_started_with_can_be_had_again(opened: Callable[..., Any], fake: Fake) -> None:
    fake.prior = {"fear": 0.5}
    page = opened()
    expect(page.locator("#facts div").first).to_be_visible()
    give(page, "one.png")
    expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    own = page.get_by_role("radio", name="As set on this server")
    expect(own).to_be_checked()
    for asked, name in enumerate(("As in its training", "As set on this server"), 2):
        page.get_by_text(name).click()
        deadline = time.monotonic() + 30
        while len(calls(fake)) < asked and time.monotonic() < deadline:  # the answer before it reads the same
            page.wait_for_timeout(20)
        expect(page.locator("#verdict")).to_have_text("happiness 86 %")
    expect(own).to_be_checked()
    assert [seen.query.get("prior") for seen in calls(fake)] == [None, "train", None]
    expect(page.locator("#prior-text")).to_have_text("The frequencies that this server was started with.")


@pytest.mark.slow
def test_a_server_that_went_away_gets_one_sentence(page: Any) -> None:
    page.route("**/v1/*", lambda route: route.abort())
    give(page, "one.png")
    expect(page.locator("#none-text")).to_have_text("The server does not answer; see whether it is still running, then try again.")
