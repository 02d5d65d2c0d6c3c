"""Audit figures against outcomes: ranks worked by hand."""

import pandas as pd
import pytest

from dawgen_core.audit import prediction


def outcomes(values: dict[str, list[float]], accuracy: list[float], seeds=(1, 2)) -> pd.DataFrame:
    """The same kinds of pairs for each seed of one task."""
    rows = [{"task": "t", "seed": seed, "source": f"k{i}", "accuracy": accuracy[i], **{n: v[i] for n, v in values.items()}}
            for seed in seeds for i in range(len(accuracy))]  # fmt: skip
    return pd.DataFrame(rows)


def test_ranks_by_hand():
    """Spearman: same order 1, opposite order -1; one swap of neighbours among three is 1 - 6 * 2 / (3 * 8) = 0.5."""
    found = outcomes({"up": [1, 2, 30], "down": [3, 2, 1], "swap": [2, 1, 3], "flat": [1, 1, 1]}, [0.5, 0.6, 0.9])
    table = prediction.relations(found).set_index("measure")["rank correlation"]
    assert table.to_dict() == pytest.approx({"up": 1, "down": -1, "swap": 0.5}) and abs(table.iloc[-1]) == 0.5


def test_a_measure_that_does_not_vary_in_a_seed_is_left_out():
    found = outcomes({"up": [1, 2, 3]}, [0.5, 0.6, 0.9])
    found.loc[found["seed"] == 2, "up"] = 1.0
    assert len(prediction.relations(found)) == 0
    assert "no measure varies" in prediction.said_plainly(prediction.relations(found))


def test_what_is_said_rests_on_intervals_and_never_on_the_oracle():
    lines = [("wrong labels (oracle)", -0.9, -1.0, -0.8, 5), ("loud", 0.8, -0.1, 1.0, 5), ("sure", 0.5, 0.2, 0.8, 5)]
    table = pd.DataFrame(lines, columns=["measure", "rank correlation", "low", "high", "seeds"])
    assert "“sure” predicts best" in prediction.said_plainly(table)
    assert prediction.said_plainly(table.head(2)).startswith("no cheap measure predicts")


def test_joined_keeps_all_rows_figures_of_one_way():
    figures = [("t", 1, "dawgen", "", "m", 0.3), ("t", 1, "dawgen", "yes", "m", 0.9), ("t", 1, "mle", "", "m", 0.1)]
    measures = pd.DataFrame(figures, columns=["task", "seed", "source", "label", "measure", "value"])
    tuned = [("t", 1.0, "dawgen", "paired", 0.7), ("t", 1.0, "dawgen", "syn", 0.2), ("t", None, "none", "paired", 0.1)]
    ledger = pd.DataFrame(tuned, columns=["task", "seed", "generator", "method", "accuracy"])
    twice = measures.query("source == 'dawgen'").assign(source="dawgen_exact")  # an arm that dropped nothing: one set
    measures = pd.concat([measures, twice], ignore_index=True)
    ledger = pd.concat([ledger, ledger.head(1).assign(generator="dawgen_exact")], ignore_index=True)
    found = prediction.joined(measures, ledger, "paired")
    assert found[["source", "m", "accuracy"]].values.tolist() == [["dawgen", 0.3, 0.7]]
