"""Pictures in a notebook: with sliders where somebody can move them, a plain image everywhere else."""

import io
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from IPython import get_ipython
from IPython.display import DisplayHandle, display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

WIDGET = "application/vnd.jupyter.widget-view+json"
PNG = "image/png"
PIXELS = 110  # per inch on the page; the image has twice as many

Slider = tuple[float, float, float, float]  # lowest, highest, step, first value


def picture(fig: Figure, alt: str) -> dict[str, Any]:
    """What `display(raw=True)` wants of a figure: a PNG, and a text for those who cannot see it. Same figure, same bytes.

    The figure is closed.
    """
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=2 * PIXELS, metadata={"Software": None})
    plt.close(fig)
    look = {"width": round(PIXELS * fig.get_figwidth()), "alt": alt}
    return {"obj": {PNG: b64encode(buffer.getvalue()).decode(), "text/plain": alt}, "metadata": {PNG: look}, "raw": True}


def show(fig: Figure, alt: str) -> None:
    """Displays a figure as an image with its text, twice as sharp as the page needs."""
    made = picture(fig, alt)
    display(made.pop("obj"), **made)


def attended() -> bool:
    """Whether somebody sits before the kernel: JupyterLab offers to answer questions (stdin), papermill and nbconvert do
    not; a plain Python has no kernel."""
    kernel = getattr(get_ipython(), "kernel", None)
    return bool(kernel and kernel.get_parent().get("content", {}).get("allow_stdin"))


def interactive(draw: Callable[..., Figure], alt: str, **controls: Slider | list) -> None:
    """Displays draw(...) at the first values of its controls as an ordinary image; where somebody sits before the kernel,
    controls under it, which draw that image anew.

    controls: by argument of draw, (lowest, highest, step, first value) for a slider or a list of choices, the first one
    first. Unattended, the image is all there is: an executed copy and its HTML page hold a picture and no dead control.
    Errors: ValueError for a slider whose first value lies outside it, and for an empty list.
    """
    values = {name: _first(name, control) for name, control in controls.items()}
    made = picture(draw(**values), alt)
    handle = display(made.pop("obj"), **made, display_id=True)
    if attended():
        _control(draw, alt, controls, handle)


def _first(name: str, control: Slider | list) -> Any:
    if isinstance(control, list):
        if not control:
            raise ValueError(f"{name}: expected at least one choice, found none")
        return control[0]
    low, high, _, first = control
    if not low <= first <= high:
        raise ValueError(f"{name}: expected a first value from {low} to {high}, found {first}")
    return first


def _control(draw: Callable[..., Figure], alt: str, controls: dict[str, Slider | list], handle: DisplayHandle) -> None:
    """Sliders and choices that update the image at `handle`."""
    import ipywidgets  # of the extra `notebooks`; nothing else needs it

    made, look = {}, {"description_width": "7em"}
    for name, control in controls.items():
        text = name.replace("_", " ")
        if isinstance(control, list):
            made[name] = ipywidgets.ToggleButtons(options=control, description=text, style=look)
        else:
            low, high, step, first = control
            whole = all(float(value).is_integer() for value in control)
            kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
            low, high, step, first = (int(v) if whole else float(v) for v in (low, high, step, first))
            made[name] = kind(first, min=low, max=high, step=step, description=text, style=look)

    def redraw(_) -> None:
        handle.update(**picture(draw(**{name: one.value for name, one in made.items()}), alt))

    for one in made.values():
        one.observe(redraw, names="value")
    panel = ipywidgets.VBox(list(made.values()))
    view = {"version_major": 2, "version_minor": 0, "model_id": panel.model_id}
    display({WIDGET: view, "text/plain": "(sliders, live in JupyterLab)"}, raw=True)
