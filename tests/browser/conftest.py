"""A page written by the package and opened in a real headless Chromium, which must stay silent and offline."""

import shutil

import numpy as np
import pandas as pd
import pytest

from dawgen_core.audit import page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def chromium():
    """One browser for a file of tests; skipped where there is none (tests/requirements_plugin.py may forbid that)."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no Chromium on the PATH: one of {', '.join(NAMES)} is needed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, tmp_path):
    """Writes a page and opens it. Afterwards: no dialog came, nothing was logged, nothing but the page was asked for."""
    pages, heard, file = [], [], tmp_path / "page.html"

    def open_page(measures, examples, title="Audit of made-up pairs", about="", cards={}, width=1200):  # noqa: B006
        page.write(file, title, about, measures, examples, cards)
        opened = chromium.new_page(viewport={"width": width, "height": 700})
        opened.set_default_timeout(5000)
        opened.on("dialog", lambda dialog: (heard.append(f"dialog {dialog.message}"), dialog.dismiss()))
        opened.on("console", lambda message: heard.append(f"console {message.text}"))
        opened.on("pageerror", lambda error: heard.append(f"error {error}"))
        opened.on("request", lambda asked: asked.url == file.as_uri() or heard.append(f"request {asked.url}"))
        opened.goto(file.as_uri())
        pages.append(opened)
        return opened

    yield open_page
    for opened in pages:
        opened.close()
    assert heard == []


@pytest.fixture
def measures():
    """A frame of measures: a plain row, each time changed as said."""
    plain = dict.fromkeys(page.NUMBERS, np.nan) | {
        "task": "sick", "source": "dawgen", "label": "", "group": "copies", "measure": "exact copies of sentence 1",
        "unit": "share", "flag": "", "note": "", "value": 0.5, "low": 0.4, "high": 0.6, "reference": 0.3, "n": 1000,
    }  # fmt: skip
    return lambda *rows: pd.DataFrame([plain | row for row in rows], columns=list(plain))


@pytest.fixture
def pairs():
    """A frame of pairs: a plain row, each time changed as said; every sentence says its place."""
    plain = {"task": "sick", "source": "dawgen", "seed": 13, "label": "neutral", "flags": "", "weights": None}
    return lambda *rows: pd.DataFrame(
        [plain | {"sentence1": f"first {i}.", "sentence2": f"second {i}."} | row for i, row in enumerate(rows)],
        columns=[*plain, "sentence1", "sentence2"],
    )
