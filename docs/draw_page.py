"""Takes the pictures of the page that README and documents show, from a running service.

    python docs/draw_page.py [--url URL] [NAME...]

Names are those of `PICTURES`, all of them but `training` if none is given. `training` is taken when
a training reaches its third stage: start `make run` with `.magnet` removed, then this. Needs the
development tools and chromium.
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent
DESK, PHONE = {"width": 1200, "height": 760}, {"width": 390, "height": 760}
TALL = {"width": 1200, "height": 1000}
PATIENCE_MS = 120_000
WAIT_MS = 15 * 60 * 1000
"""For a training to come to where its curves say something."""
EPOCHS = 4
"""Of the router's specialisation."""


def of_list(page: Page) -> None:
    """What is recommended to the first user, and why in a sentence each."""
    page.locator(".card").nth(3).wait_for()


def of_why(page: Page) -> None:
    """How the score of the first item adds up."""
    page.get_by_role("button", name="Why?").first.click()
    page.get_by_text("How the score adds up").click()


def of_comparison(page: Page) -> None:
    """The list beside that without the last modality."""
    choice = page.get_by_label("Compare with")
    choice.select_option(index=choice.locator("option").count() - 1)
    page.locator(".compared").wait_for()


def of_hearts(page: Page) -> None:
    """The list of somebody new who has liked three of the items that are offered."""
    page.get_by_role("button", name="I'm new here").click()
    for place in range(3):
        page.locator("#offer button").nth(place).click()
        page.locator("#picked", has_text=f"{place + 1} ").wait_for()
        page.locator("#toast").wait_for()
    page.locator("#counted", has_text="3 choices").wait_for()
    page.locator("#toast-close").click()
    page.locator("#welcome > summary").click()
    page.locator("#list-title").evaluate("title => title.scrollIntoView()")


def of_training(page: Page) -> None:
    """A training whose router has begun to specialise."""
    page.get_by_role("tab", name="Model").click()
    page.locator(".stages .current", has_text="specialisation").wait_for(timeout=WAIT_MS)
    epoch = page.locator("#training-progress")
    first = int(epoch.evaluate("progress => progress.value"))
    page.wait_for_function(
        "least => document.getElementById('training-progress').value >= least",
        arg=first + EPOCHS,
        timeout=WAIT_MS,
    )


PICTURES: dict[str, tuple[Callable[[Page], None], dict[str, int]]] = {
    "list": (of_list, DESK),
    "why": (of_why, TALL),
    "compare": (of_comparison, DESK),
    "phone": (of_hearts, PHONE),
    "training": (of_training, DESK),
}


def main() -> None:
    """Take each picture in light, from an address that is opened anew."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="default: %(default)s")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    given = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name in given.names or [name for name in PICTURES if name != "training"]:
            show, size = PICTURES[name]
            page = browser.new_page(color_scheme="light", reduced_motion="reduce", viewport=size)
            page.set_default_timeout(PATIENCE_MS)
            page.goto(given.url)
            page.locator(".card").first.wait_for()
            show(page)
            page.wait_for_function("[...document.images].every((image) => image.complete)")
            page.screenshot(path=FOLDER / f"page-{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
