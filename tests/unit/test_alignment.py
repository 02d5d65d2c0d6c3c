"""What notebook 01 shows of alignment, by pencil."""

import pytest
import torch

from dawgen_core import bilevel, losses, prompts
from dawgen_core.audit import alignment

# unit vectors at 0, 60 and 90 degrees: cosines 1/2 (0 and 60), 0 (0 and 90), sqrt(3)/2 (60 and 90)
VECTORS = torch.tensor([[2.0, 0.0], [0.5, 3**0.5 / 2], [0.0, 3.0]])


def test_separation_by_pencil():
    same, other = alignment.separation(VECTORS, [0, 0, 1])
    assert same == pytest.approx(0.5, abs=1e-6) and other == pytest.approx((0 + 3**0.5 / 2) / 2, abs=1e-6)


def test_triples_by_pencil_and_their_mean_is_the_loss():
    frame = alignment.triples(VECTORS, [0, 0, 1], margin=1.0)
    assert sorted(frame["hinge"]) == pytest.approx([0.5, 0.5 + 3**0.5 / 2], abs=1e-6)
    loss = losses.alignment_loss(VECTORS, torch.tensor([0, 0, 1]))
    assert frame["hinge"].mean() == pytest.approx(loss.item(), abs=1e-6)


def test_rows_are_read_one_by_one_as_together(mrpc, generator, smoke):
    layout = prompts.PromptLayout(mrpc, generator, smoke.generator_tuning)
    term, _ = bilevel.new_loss(layout, "dawgen", 13, smoke.generator_tuning)
    rows, labels = [([5, 6], [7, 8, 9]), ([5], [9])], [0, 1]
    vectors, shares = alignment.read_rows(layout, layout.initial(), term, rows, labels)
    assert [len(share) for share in shares] == [4, 2]  # the end counts
    for i in range(2):
        alone, (share,) = alignment.read_rows(layout, layout.initial(), term, rows[i : i + 1], labels[i : i + 1])
        assert torch.allclose(alone[0], vectors[i], atol=1e-5) and torch.allclose(share, shares[i], atol=1e-5)
        assert share.sum().item() == pytest.approx(1, abs=1e-5)


def test_mle_weighs_all_tokens_alike(mrpc, generator, smoke):
    layout = prompts.PromptLayout(mrpc, generator, smoke.generator_tuning)
    term, _ = bilevel.new_loss(layout, "mle", 13, smoke.generator_tuning)
    _, (share,) = alignment.read_rows(layout, layout.initial(), term, [([5], [7, 8, 9])], [0])
    assert share.tolist() == pytest.approx([0.25] * 4)


def test_colours_follow_the_shares_and_text_stays_text():
    shown = alignment.coloured(["▁a", "<b>"], torch.tensor([0.25, 0.75]))
    assert "0.33)" in shown and "1.00)" in shown and "&lt;b&gt;" in shown and "25.0%" in shown
