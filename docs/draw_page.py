"""Takes the README's pictures of the page from a running service.

    python docs/draw_page.py [URL]

Needs the development tools and chromium.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent
LOOKS = {
    "page-light": {"color_scheme": "light", "viewport": {"width": 1200, "height": 760}},
    "page-dark": {"color_scheme": "dark", "viewport": {"width": 1200, "height": 760}},
    "page-phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 760}},
}


def main() -> None:
    """Open the page in each look; the dark one shows why the first item is there."""
    url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, look in LOOKS.items():
            page = browser.new_page(**look)
            page.goto(url)
            page.locator(".card").first.wait_for()
            if name == "page-dark":
                page.get_by_role("button", name="Why?").first.click()
                page.locator("dialog table").first.wait_for()
            page.screenshot(path=FOLDER / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
