"""Damage by hand, the compressed cache against the whole one, sweeps that are possible, and what is read off them."""

import pandas as pd
import pytest
import torch

from dawgen_core import generation, prompts
from dawgen_core.audit import statistics, sweep_plots
from dawgen_core.beyond import arms, compression, damage, sweeps
from dawgen_core.data import pretrained
from dawgen_core.data.profiles import load_profile, load_task
from dawgen_core.params import ParamsError


@pytest.fixture
def pairs() -> pd.DataFrame:
    """Two seeds, 20 rows each, two labels."""
    rows = [(f"first {seed} {i}", f"second {seed} {i}", ("a", "b")[i % 2], seed) for seed in (13, 21) for i in range(20)]
    return pd.DataFrame(rows, columns=["sentence1", "sentence2", "label", "seed"])


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("kind", damage.DAMAGE)
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_each_seed_is_damaged_and_nothing_else(kind, share, pairs):
    before = pairs.copy()
    worse = damage.damaged(pairs, kind, share)
    assert pairs.equals(before) and worse["seed"].tolist() == pairs["seed"].tolist()
    changed = (worse != pairs).any(axis=1)
    n = round(20 * share)
    assert (changed.groupby(pairs["seed"]).sum() <= n).all()
    spared = 2 if kind == "duplicates" else 0  # the rows that are repeated are their own duplicates
    assert (changed.groupby(pairs["seed"]).sum() >= n - spared).all()
    columns = {"flips": {"label"}, "copies": {"sentence2"}, "off_topic": {"sentence2"},
               "duplicates": {"sentence1", "sentence2"}}[kind]  # fmt: skip
    assert {c for c in pairs if (worse[c] != pairs[c]).any()} == (columns if n else set())


def test_each_damage_is_what_it_says(pairs):
    flipped, copied, repeated, other = (damage.damaged(pairs, kind, 1.0) for kind in damage.DAMAGE)
    assert (flipped["label"] != pairs["label"]).all()
    assert (copied["sentence2"] == pairs["sentence1"]).all()
    assert repeated.groupby(["seed", "label"])["sentence2"].nunique().eq(1).all()
    assert (other["sentence2"] != pairs["sentence2"]).all() and set(other["sentence2"]) <= set(pairs["sentence2"])
    assert all(f"second {seed} " in text for text, seed in zip(other["sentence2"], other["seed"], strict=True))


@pytest.mark.parametrize("kind", ["flips", "copies", "off_topic"])
def test_more_damage_holds_the_less(kind, pairs):
    some, more = ((damage.damaged(pairs, kind, share) != pairs).any(axis=1) for share in (0.25, 0.5))
    assert (some <= more).all() and more.sum() > some.sum()


def test_impossible_damage_is_named(pairs):
    with pytest.raises(ValueError, match="damage: expected one of flips, copies, duplicates, off_topic, found 'typos'"):
        damage.damaged(pairs, "typos", 0.1)
    with pytest.raises(ValueError, match="share: expected 0 to 1, found 1.5"):
        damage.damaged(pairs, "flips", 1.5)


# ---------------------------------------------------------------- the compressed cache


@pytest.fixture(scope="module")
def layout():
    study = load_profile("pocket")
    generator = pretrained.load_generator(study.generator, study.compute)
    return prompts.PromptLayout(load_task("pocket_snli"), generator, study.generator_tuning)


def written(layout, window: int | None) -> tuple[list[str], float]:
    study = load_profile("pocket")
    generator = layout.generator
    if window:
        generator = compression.Compressed(generator, compression.longest_head(layout), window)
        layout = prompts.PromptLayout(layout.task, generator, study.generator_tuning)
    ask = generation.continuations(layout, layout.initial(), study.generation, 13)
    firsts = ["a young woman washes a red car", "two dogs quietly chase a ball in the park", "a man reads"]
    return [one.text for one in ask(0, range(3), firsts)], getattr(generator, "share", 1.0)


def test_a_window_over_everything_is_the_whole_cache(layout):
    assert written(layout, 500) == written(layout, None)


def test_a_smaller_window_keeps_less_and_says_other_things(layout):
    plain, shares = written(layout, None)[0], []
    for window in (8, 2):
        texts, share = written(layout, window)
        shares.append(share)
        assert texts != plain
    assert 1 > shares[0] > shares[1] > 0


def test_masked_places_are_places_that_are_not_there(layout):
    """A step with a compressed cache gives the states of a cache from which the places were taken out."""
    generator, head, window = layout.generator, 2, 3
    reader = compression.Compressed(generator, head, window)
    ids_1T = torch.tensor([generator.ids("a young woman washes a red car in the park")])
    whole, taken = prompts.DynamicCache(), prompts.DynamicCache()
    for cache in (whole, taken):
        generator.states(generator.embedding(ids_1T[:, :-1]), torch.ones(1, ids_1T.shape[1] - 1), cache)
    stay = [i for i in range(ids_1T.shape[1] - 1) if i < head or i > ids_1T.shape[1] - 1 - window]
    for layer in taken.layers:
        layer.keys, layer.values = layer.keys[:, :, stay], layer.values[:, :, stay]
    last_11D = generator.embedding(ids_1T[:, -1:])
    masked = reader.states(last_11D, torch.ones_like(ids_1T), whole)
    places = torch.tensor([[ids_1T.shape[1] - 1]])
    expected = generator.model.base_model(inputs_embeds=last_11D.clone(), attention_mask=torch.ones(1, len(stay) + 1),
                                          position_ids=places, past_key_values=taken, use_cache=True)  # fmt: skip
    assert torch.allclose(masked, expected.last_hidden_state, atol=1e-4)
    assert reader.share == pytest.approx((len(stay) + 1) / ids_1T.shape[1])
    with pytest.raises(ValueError, match="window: expected at least 1 and a head of at least 0, found 0 and 2"):
        compression.Compressed(generator, 2, 0)


# ---------------------------------------------------------------- sweeps


@pytest.mark.parametrize("name", ["smoke", "study"])
def test_sweeps_on_file_are_possible(name):
    assert sweeps.load(load_profile(name)).tasks


def test_a_profile_without_sweeps_has_none():
    assert sweeps.load(load_profile("pocket")) is None


WRONG = {
    "a task of another profile": ({"tasks": ["rte"]}, "tasks: expected some of the profile's .*, found \\['rte'\\]"),
    "a seed of another profile": ({"seeds": [7]}, "seeds: expected some of .*, found \\[7\\]"),
    "a method that reads more": ({"labelled": ["spot"]}, "labelled: expected methods that read few-shot rows alone, .*spot"),
    "a method that is not there": ({"labelled": ["hand_prompt"]}, "labelled: expected some of .*'hand_prompt'"),
    "a share above one": ({"shares": [1.5]}, "shares.0: .*found 1.5"),
    "an unknown section": ({"options": {"x": {"generation": {}}}}, "options: expected generator_tuning and prompt_tuning"),
    "an unknown value": ({"options": {"x": {"generator_tuning": {"alignment": "both"}}}}, "generator_tuning.alignment"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_impossible_sweeps_are_named(kind, monkeypatch):
    change, message = WRONG[kind]
    study = load_profile("smoke")
    values = sweeps.profiles.read_yaml(sweeps.path_of("smoke")) | change
    monkeypatch.setattr(sweeps.profiles, "read_yaml", lambda path: values)
    with pytest.raises(ParamsError, match=message):
        sweeps.load(study)


def test_a_variant_is_made_once_and_another_one_is_another(tmp_path, monkeypatch):
    study = load_profile("smoke")
    asked = arms.Arms(study, load_task("mrpc"), [13], tmp_path, "code")
    first = asked.tuned(study, "real", None)
    monkeypatch.setattr(arms.Arms, "_tune", lambda *_: pytest.fail("made again"))
    assert arms.Arms(study, load_task("mrpc"), [13], tmp_path, "code").tuned(study, "real", None).equals(first)
    for other in (sweeps.changed(study, {"prompt_tuning": {"eps": 0.5}}), study.model_copy(update={"shots": 8})):
        with pytest.raises(pytest.fail.Exception, match="made again"):
            asked.tuned(other, "real", None)
    with pytest.raises(pytest.fail.Exception, match="made again"):
        arms.Arms(study, load_task("mrpc"), [13], tmp_path, "other code").tuned(study, "real", None)


def test_a_pool_of_drawn_rows_grows_with_the_shots():
    study, task = load_profile("study"), load_task("pocket_snli")
    rows = arms.TaskRows(sweeps.with_pool(task, study, 128), study.model_copy(update={"shots": 128}))
    train, dev = rows.few_shot(13)
    assert len(train) == len(dev) == 3 * 128
    real = load_task("mrpc")
    assert sweeps.with_pool(real, load_profile("smoke"), 128) is real


# ---------------------------------------------------------------- what is read off


def test_a_crossing_by_hand():
    """Means 60, 70, 80 at 4, 16, 64 shots reach 75 halfway between 16 and 64 on the logarithmic scale: at 32."""
    curves, level = [[0.6, 0.7, 0.8]] * 3, [0.75] * 3
    assert statistics.crossing([4, 16, 64], curves, level) == pytest.approx((32, 32, 32))
    assert statistics.crossing([4, 16, 64], curves, [0.9] * 3)[0] == float("inf")
    assert statistics.crossing([4, 16, 64], curves, [0.5] * 3)[0] == 4
    at, low, high = statistics.crossing([4, 16, 64], [[0.55, 0.65, 0.75], [0.65, 0.75, 0.85], [0.6, 0.7, 0.8]], level)
    assert low < at < high and at == pytest.approx(32)


def test_changes_by_pencil():
    """Two tasks, two seeds: gains of 2 and 4 points, then of 0 and 6: 3 and 3 per seed."""
    rows = [("base", t, s, 0.5) for t in ("mrpc", "sick") for s in (13, 21)]
    rows += [("new", "mrpc", 13, 0.52), ("new", "sick", 13, 0.54), ("new", "mrpc", 21, 0.5), ("new", "sick", 21, 0.56)]
    found = pd.DataFrame(rows, columns=["arm", "task", "seed", "accuracy"]).assign(sweep="options", label_right=0.8)
    table = sweep_plots.changes(found, "options", "base").set_index("variant")
    assert table.loc["new", ["difference", "95 % interval", "n"]].tolist() == ["+3.00", "+3.00 to +3.00", 2]
    assert table.loc["base", "difference"] == "" and set(table["right labels (%)"]) == {"80.0"}
    lacking = pd.DataFrame([("window 3", t, 13, value) for t, value in (("mrpc", 0.5), ("sick", float("nan")))],
                           columns=["arm", "task", "seed", "accuracy"]).assign(sweep="options")  # fmt: skip
    table = sweep_plots.changes(pd.concat([found, lacking]), "options", "base").set_index("variant")
    columns = ["accuracy", "difference", "95 % interval", "n"]
    assert table.loc["window 3", columns].tolist() == ["set not filled: SICK", "", "", 0]
    assert table.loc["new", "difference"] == "+3.00"


def test_a_set_that_cannot_be_filled_is_a_result(tmp_path, monkeypatch, capsys):
    """One window writes texts that do not end: the others are swept, and it has no accuracy."""
    study, task = load_profile("smoke"), load_task("mrpc")
    asked = sweeps.load(study).model_copy(update={"windows": [3, 4]})
    pairs = pd.DataFrame({"seed": [13, 21], "label": ["equivalent"] * 2, "cache": 0.5})

    def written(self, other, window=None):
        if window == 3:
            raise sweeps.CorpusError("expected 8 rows, found 5")
        return pairs

    for name in ("tuned", "method"):
        monkeypatch.setattr(sweeps.Arms, name, lambda *_: pd.DataFrame({"seed": [13, 21], "accuracy": 0.5}))
    monkeypatch.setattr(sweeps.Arms, "pairs", written)
    monkeypatch.setattr(sweeps.Arms, "__init__", lambda *_: None)
    monkeypatch.setattr(sweeps.damage, "damaged", lambda pairs, kind, share: pairs)
    found = sweeps.run(study, asked, task, [13, 21], tmp_path, "code").set_index("arm")["accuracy"]
    assert found["window 3"].isna().all() and (found["window 4"] == 0.5).all()
    assert "cache, window 3: expected 8 rows, found 5" in capsys.readouterr().out
