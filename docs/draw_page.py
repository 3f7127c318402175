"""Takes the README's pictures of the page from a running service.

    python docs/draw_page.py [URL]

Needs the development tools and chromium.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent
LOOKS = {
    "page-light": {"color_scheme": "light", "viewport": {"width": 1200, "height": 760}},
    "page-dark": {"color_scheme": "dark", "viewport": {"width": 1200, "height": 760}},
    "page-phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 760}},
}


def main() -> None:
    """Open the page in each look: a visitor after three hearts, why an item is there, the list."""
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, look in LOOKS.items():
            page = browser.new_page(reduced_motion="reduce", **look)
            page.goto(url)
            page.locator(".card").first.wait_for()
            if name == "page-dark":
                page.get_by_role("button", name="Why?").first.click()
                page.get_by_text("How the score adds up").click()
            else:
                three_hearts(page)
            page.screenshot(path=FOLDER / f"{name}.png")
        browser.close()


def three_hearts(page: Page) -> None:
    """Be somebody new who likes three of the items that are offered."""
    page.get_by_role("button", name="I'm new here").click()
    for place in range(3):
        page.locator("#offer button").nth(place).click()
        page.locator("#picked", has_text=f"{place + 1} ").wait_for()
        page.locator("#toast").wait_for()
    page.locator("#counted", has_text="3 choices").wait_for()
    page.locator("#welcome > summary").click()
    page.locator("#list-title").evaluate("title => title.scrollIntoView()")


if __name__ == "__main__":
    main()
