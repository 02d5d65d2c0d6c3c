"""A real JupyterLab in a headless Chromium: open a notebook, Run All, move a slider. On the smoke profile's tiny models."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from rehearsal import perform

from dawgen_core.params import ROOT

pytestmark = pytest.mark.browser
GIVEN = {"profile": "smoke", "task": "mrpc"}
RUN_ALL = ".lm-Menu-item[data-command='runmenu:run-all']"
PROMPTS = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(one => one.textContent)"
READY = """async () => {  // the page is restored, the notebook read, its kernel there
    await window.jupyterapp.restored;
    const notebook = window.jupyterapp.shell.currentWidget;
    await notebook.context.ready;
    await notebook.sessionContext.ready;
    await notebook.sessionContext.session.kernel.info;
}"""
DONE = f"""(() => {{
    const prompts = {PROMPTS};
    const last = prompts.pop() || '';  // a folded solution shows no prompt
    return /\\[\\d+\\]/.test(last) && !prompts.some(text => text.includes('*') || text.includes('[ ]'))
        || document.querySelector('[data-mime-type="application/vnd.jupyter.error"]') !== null;
}})()"""


def with_parameters(name: str, path, **given) -> None:
    """A copy of a notebook whose parameters cell holds these values."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    for key, value in given.items():
        said = re.search(rf"^{key}: \w+ = ([^#\n]*?) *(?:#|$)", cell.source, re.MULTILINE)
        cell.source = f"{cell.source[: said.start(1)]}{value!r}{cell.source[said.end(1) :]}"
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab on a folder with 00 and 04; what 04 reads was made there by 01 and 02."""
    pytest.importorskip("jupyterlab")
    folder = tmp_path_factory.mktemp("lab")
    for notebook in ("01_generator_tuning", "02_generation"):
        perform(notebook, folder / "elsewhere", **GIVEN, seeds=[13, 21], runs_dir=str(folder / "runs"))
    with_parameters("00_tour", folder / "00_tour.ipynb", **GIVEN, pairs=6, asked=20)
    given = {"seeds": [13, 21], "runs_dir": str(folder / "runs")}
    with_parameters("04_prompt_tuning", folder / "04_prompt_tuning.ipynb", **GIVEN, **given)
    tracker = folder / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    tracker.parent.mkdir(parents=True)
    tracker.write_text(json.dumps({"windowingMode": "none"}))  # every cell is in the page, seen or not
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
               f"--ServerApp.root_dir={folder}", "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True",
               f"--LabApp.user_settings_dir={folder / 'settings'}", f"--LabApp.workspaces_dir={folder / 'workspaces'}",
               "--LabApp.news_url=None", "--LabApp.expose_app_in_browser=True"]  # fmt: skip
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=5)
                break
            except OSError:
                assert server.poll() is None, (folder / "lab.log").read_text()
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/lab/workspaces"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def run_all(chromium, lab):
    """Opens a notebook, chooses Run > Run All Cells, and waits for the last cell: the page, without an error in a cell."""
    pages = []

    def run(name: str, seconds: int = 240):
        page = chromium.new_page(viewport={"width": 1300, "height": 900})
        pages.append(page)
        page.set_default_timeout(60_000)
        page.goto(f"{lab}/{name}/tree/{name}.ipynb")  # a workspace of its own: no other notebook is restored beside it
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        page.wait_for_function(f"window.jupyterapp?.shell.currentWidget?.context?.path === '{name}.ipynb'")
        page.evaluate(READY)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.locator(RUN_ALL).click()
        page.wait_for_function(DONE, timeout=1000 * seconds, polling=500)
        assert page.locator("[data-mime-type='application/vnd.jupyter.error']").all_inner_texts() == []
        return page

    yield run
    for page in pages:
        page.close()


def test_run_all_on_the_tour_and_a_slider_that_changes_its_picture(run_all):
    page = run_all("00_tour")
    page.wait_for_selector(".noUi-handle")
    assert page.locator(".widget-slider").count() >= 3 and page.locator(".jp-RenderedImage img").count() == 7
    cell = page.locator(".jp-CodeCell").filter(has=page.locator(".noUi-handle")).first
    picture, before = cell.locator(".jp-RenderedImage img"), cell.locator(".jp-RenderedImage img").get_attribute("src")
    cell.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowLeft")
    for _ in range(100):
        if picture.get_attribute("src") != before:
            break
        page.wait_for_timeout(100)
    assert picture.get_attribute("src") != before and picture.get_attribute("src").startswith("data:image/png;base64,")


def test_run_all_on_prompt_tuning(run_all):
    page = run_all("04_prompt_tuning")
    assert page.locator(".jp-RenderedImage img").count() >= 1
    assert "paired_surgery" in page.locator(".jp-Notebook").inner_text()
