"""What notebook 00 draws is what the package computed; its sliders leave a plain picture where nobody can move them."""

import base64

import matplotlib
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba

from dawgen_core import losses, surgery
from dawgen_core.app import looking
from dawgen_core.audit import tour_plots

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def drawn(fig, gid: str) -> list[float]:
    """Where the arrow of this name ends."""
    (arrow,) = [one for one in fig.axes[0].texts if one.get_gid() == gid]
    return list(arrow.xy)


def lines(ax, gid: str) -> list:
    return [one for one in ax.lines if one.get_gid() == gid]


# ---------------------------------------------------------------- surgery


@pytest.mark.parametrize(("angle", "length", "eps"), [(135, 1.0, 1.0), (60, 1.5, 0.5), (180, 2.0, 2.0), (90, 0.5, 0.0)])
def test_arrows_are_the_packages_vectors(angle, length, eps):
    fig = tour_plots.surgery_plane(angle, length, eps)
    real_2, syn_2 = tour_plots.two_gradients(angle, length)
    update_2, report = surgery.combine(real_2, syn_2, eps=eps)
    assert drawn(fig, "d_real") == [1.0, 0.0] and drawn(fig, "d_syn") == syn_2.tolist()
    assert drawn(fig, "update") == update_2.tolist()
    assert bool(lines(fig.axes[0], "removed")) == report.conflict
    if report.conflict:
        assert drawn(fig, "projected") == surgery.project_conflicting(syn_2, onto_real_N=real_2).tolist()


def test_two_gradients_by_pencil():
    real_2, syn_2 = tour_plots.two_gradients(120, 2.0)
    assert real_2.tolist() == [1, 0] and syn_2.tolist() == pytest.approx([-1, 3**0.5])


def test_progress_is_at_least_one_with_surgery_and_falls_below_without():
    (kept,), (raw,) = (lines(tour_plots.surgery_plane(135, 2.0, 1.0).axes[1], rule) for rule in ("one_sided", "none"))
    assert min(kept.get_ydata()) >= 1 - 1e-9 and kept.get_ydata()[135] == pytest.approx(1)
    assert raw.get_ydata()[180] == pytest.approx(1 - 2) and raw.get_ydata()[60] == kept.get_ydata()[60] == pytest.approx(2)


# ---------------------------------------------------------------- alignment, words, paths, accuracies


def test_alignment_says_the_loss_and_finds_the_hardest_triple():
    vectors_BD = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    fig = tour_plots.alignment_plane({"one": vectors_BD, "two": 3 * vectors_BD}, labels, ["no", "yes"], margin=0.5, anchor=2)
    loss = losses.alignment_loss(vectors_BD, torch.tensor(labels), margin=0.5).item()
    assert len(fig.axes) == 3 and all(f"mean hinge {loss:.2f}" in ax.get_title() for ax in fig.axes[:2])
    gap = fig.axes[2].lines[0].get_xdata()
    assert f"{(gap < 0.5).mean():.0%} pull" in fig.axes[0].get_title()
    unit_BD = torch.nn.functional.normalize(vectors_BD, dim=-1)
    anchor, positive, negative = tour_plots._hardest(unit_BD, labels, 2)
    cosine_B = unit_BD @ unit_BD[2]
    assert anchor == 2 and positive in (0, 1, 3) and negative in (4, 5, 6, 7)
    assert all(cosine_B[positive] <= cosine_B[i] for i in (0, 1, 3)) and all(cosine_B[negative] >= cosine_B[4:])


def test_words_at_one_place_are_named_together_and_the_friend_stands_out():
    leaning = pd.DataFrame({"here": [-0.2, 0.1, 0.1], "elsewhere": [0.0, 0.05, 0.05]}, index=["not", "old", "new"])
    fig = tour_plots.false_friends(leaning, ("no", "yes"), ["not", "old", "new"], friend="not")
    named = {one.get_text(): one for one in fig.axes[0].texts}
    assert {"not", "old, new"} <= set(named) and tuple(named["not"].xy) == pytest.approx((-20, 0))
    assert named["not"].get_color() == tour_plots.WARM != named["old, new"].get_color()


def test_paths_start_open_and_end_full():
    path_SPD = torch.randn(4, 3, 6, generator=torch.Generator().manual_seed(1)).cumsum(0)
    curves = pd.DataFrame({"seen": [0.7, 0.1], "unseen": [0.7, 0.6]}, index=[0, 3])
    fig = tour_plots.prompt_paths(path_SPD, torch.randn(9, 6), ["a", "b", "c"], curves)
    walks = [one for one in fig.axes[0].lines if len(one.get_xdata()) == 4]
    marks = [one for one in fig.axes[0].lines if len(one.get_xdata()) == 1]
    assert len(walks) == 3 and len(marks) == 6
    for walk, first, last in zip(walks, marks[::2], marks[1::2], strict=True):
        assert (walk.get_xdata()[0], walk.get_xdata()[-1]) == (first.get_xdata()[0], last.get_xdata()[0])
        assert first.get_markerfacecolor() == "white" != last.get_markerfacecolor()
    assert [one.get_ydata().tolist() for one in fig.axes[1].lines] == [[0.7, 0.1], [0.7, 0.6]]


@pytest.mark.parametrize("interval", [True, False])
def test_accuracies_are_percent_with_an_interval_or_a_mean(interval):
    table = pd.DataFrame({"name": ["a", "a", "b"], "accuracy": [0.5, 0.7, 0.9]})
    table = table.assign(low=table["accuracy"] - 0.05, high=table["accuracy"] + 0.05) if interval else table
    ax = tour_plots.accuracies(table, 0.6, "n=10").axes[0]
    found = [one.get_xdata() for one in ax.lines]
    assert [list(x) for x in found if len(set(x)) > 1][0] == pytest.approx([50, 70])  # the dots of a
    spans = [pytest.approx([45, 55]), pytest.approx([65, 75])] if interval else [pytest.approx([60, 60])]
    assert all(any(list(x) == span for x in found) for span in spans)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"] and "n=10" in ax.get_xlabel()


def test_colours_differ_in_greyscale():
    colours = map(to_rgba, (tour_plots.INK, tour_plots.COOL, tour_plots.WARM))
    grey = sorted(0.299 * r + 0.587 * g + 0.114 * b for r, g, b, _ in colours)
    assert min(b - a for a, b in zip(grey, grey[1:], strict=False)) > 0.05


# ---------------------------------------------------------------- pictures and sliders


class Screen:
    """Stands for the page: what was displayed, and what replaced it."""

    def __init__(self, monkeypatch, attended: bool):
        self.shown, self.updates = [], []
        monkeypatch.setattr(looking, "display", self.display)
        monkeypatch.setattr(looking, "attended", lambda: attended)

    def display(self, obj, **more):
        self.shown.append(obj)
        return self

    def update(self, obj, **more):
        self.updates.append(obj)


def png(bundle: dict) -> bytes:
    return base64.b64decode(bundle[looking.PNG])


def test_unattended_there_is_one_plain_picture_and_no_widget(monkeypatch):
    screen = Screen(monkeypatch, attended=False)
    looking.interactive(tour_plots.surgery_plane, "two arrows", angle=(0, 180, 5, 135), eps=(0.0, 2.0, 0.1, 1.0))
    (bundle,) = screen.shown
    assert set(bundle) == {looking.PNG, "text/plain"} and bundle["text/plain"] == "two arrows"
    assert png(bundle) == png(looking.picture(tour_plots.surgery_plane(135, eps=1.0), "two arrows")["obj"])
    assert not plt.get_fignums()


def test_attended_sliders_draw_the_picture_anew_in_place(monkeypatch):
    widgets = pytest.importorskip("ipywidgets")
    made = []
    monkeypatch.setattr(widgets, "VBox", lambda children: made.extend(children) or type("Panel", (), {"model_id": "7"}))
    screen = Screen(monkeypatch, attended=True)
    looking.interactive(tour_plots.surgery_plane, "two arrows", angle=(0, 180, 5, 135), length=(0.0, 3.0, 0.1, 1.0))
    picture, controls = screen.shown
    assert looking.WIDGET not in picture and controls[looking.WIDGET]["model_id"] == "7"
    assert [type(one).__name__ for one in made] == ["IntSlider", "FloatSlider"] and [one.value for one in made] == [135, 1.0]
    made[0].value = 60
    assert png(screen.updates[-1]) == png(looking.picture(tour_plots.surgery_plane(60, 1.0), "")["obj"]) != png(picture)


def test_choices_start_with_the_first(monkeypatch):
    pytest.importorskip("ipywidgets")
    screen, asked = Screen(monkeypatch, attended=True), []

    def draw(which: str):
        asked.append(which)
        return plt.figure()

    looking.interactive(draw, "", which=["before", "after"])
    assert asked == ["before"] and len(screen.shown) == 2


@pytest.mark.parametrize(("control", "message"), [((0, 1, 1, 2), "from 0 to 1, found 2"), ([], "at least one choice")])
def test_a_control_without_a_first_value_is_refused(control, message):
    with pytest.raises(ValueError, match=f"eps: expected .*{message}"):
        looking.interactive(tour_plots.surgery_plane, "", eps=control)


def test_nobody_sits_before_a_plain_python():
    assert not looking.attended()


def test_same_figure_same_bytes():
    one, other = (looking.picture(tour_plots.surgery_plane(150, 1.2, 0.7), "x") for _ in range(2))
    assert one == other and png(one["obj"]).startswith(b"\x89PNG")
