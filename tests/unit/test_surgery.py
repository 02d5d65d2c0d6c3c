"""Gradient surgery: what is always true, as properties in float64, and the worked numbers."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dawgen_core.samplers import seeded
from dawgen_core.surgery import RULES, combine, project_conflicting

settings.register_profile("unit", max_examples=80, deadline=None, derandomize=True, database=None)
settings.load_profile("unit")

number = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda x: 0.0 if abs(x) < 1e-6 else x)
scales = st.sampled_from([1e-30, 1e-6, 0.5, 1.0, 3.0, 1e6, 1e30])


@st.composite
def gradients(draw, elements=number):
    n = draw(st.integers(1, 7))
    pair = [draw(st.lists(elements, min_size=n, max_size=n)) for _ in range(2)]
    return tuple(torch.tensor(values, dtype=torch.float64) for values in pair)


def exact_dot(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(sum(Fraction(x) * Fraction(y) for x, y in zip(a.tolist(), b.tolist(), strict=True)))


def slack(a: torch.Tensor, b: torch.Tensor) -> float:
    return 1e-12 * a.norm().item() * b.norm().item()


@given(gradients())
def test_without_conflict_unchanged_bit_for_bit(pair):
    real, syn = pair
    assume(exact_dot(real, syn) > slack(real, syn))
    assert torch.equal(project_conflicting(syn, onto_real_N=real), syn)


@given(gradients(elements=st.integers(-99, 99).map(float)))
def test_at_a_right_angle_or_less_whole_numbers_are_unchanged_bit_for_bit(pair):
    real, syn = pair
    assume(exact_dot(real, syn) >= 0)
    assert torch.equal(project_conflicting(syn, onto_real_N=real), syn)


def test_at_a_right_angle_unchanged_bit_for_bit():
    # 49 * 1 - 1 * 49 = 0 exactly, no conflict; 49 * (1 / 49) rounds to below 1, so a plain division would see one
    for n in range(1, 200):
        real, syn = torch.tensor([1.0, n], dtype=torch.float64), torch.tensor([n, -1.0], dtype=torch.float64)
        assert torch.equal(project_conflicting(syn, onto_real_N=real), syn), n


@given(gradients())
def test_after_surgery_orthogonal_with_conflict_and_never_against(pair):
    real, syn = pair
    result = project_conflicting(syn, onto_real_N=real)
    assert exact_dot(result, real) >= -slack(real, syn)
    if exact_dot(real, syn) < -slack(real, syn):
        assert abs(exact_dot(result, real)) <= slack(real, syn)
        assert not torch.equal(result, syn)


@given(gradients())
def test_only_the_component_along_real_is_removed(pair):
    real, syn = pair
    assume(exact_dot(real, syn) < -slack(real, syn))
    removed = syn - project_conflicting(syn, onto_real_N=real)
    across = removed - exact_dot(removed, real) / exact_dot(real, real) * real
    assert across.norm() <= 1e-12 * syn.norm()


@given(gradients())
def test_idempotent(pair):
    real, syn = pair
    once = project_conflicting(syn, onto_real_N=real)
    assert (project_conflicting(once, onto_real_N=real) - once).norm() <= 1e-12 * syn.norm()


@given(gradients())
def test_never_longer(pair):
    real, syn = pair
    assert project_conflicting(syn, onto_real_N=real).norm() <= syn.norm() * (1 + 1e-14)


@given(gradients(), scales)
def test_the_scale_of_real_does_not_matter(pair, scale):
    real, syn = pair
    assume(abs(exact_dot(real, syn)) > slack(real, syn) or exact_dot(real, syn) == 0)
    difference = project_conflicting(syn, onto_real_N=scale * real) - project_conflicting(syn, onto_real_N=real)
    assert difference.norm() <= 1e-12 * syn.norm()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("rule", RULES)
def test_the_scale_of_real_does_not_matter_in_float32(rule, scale):
    """Squares of 1e-30 and 1e30 leave float32: projection, report and every rule must not fall into that."""
    real, syn = torch.tensor([6.0, 1.0, 1.0]), torch.tensor([-4.0, 1.0, 1.0])
    result = project_conflicting(syn, onto_real_N=scale * real)
    assert torch.allclose(result, project_conflicting(syn, onto_real_N=real), rtol=1e-4)
    _, report = combine(scale * real, syn, rule=rule)
    assert report.conflict and report.cosine == pytest.approx(-22 / math.sqrt(38 * 18), rel=1e-4)


@given(gradients())
def test_zero_gradients_change_nothing(pair):
    _, syn = pair
    zero = torch.zeros_like(syn)
    assert torch.equal(project_conflicting(syn, onto_real_N=zero), syn)
    assert torch.equal(project_conflicting(zero, onto_real_N=syn), zero)
    for rule in RULES:
        direction, report = combine(zero, syn, rule=rule)
        assert torch.equal(direction, syn) and not report.conflict and report.cosine == 0


def test_a_real_gradient_whose_square_is_zero_changes_nothing():
    """1e-200 squared is 0 in float64, though the product with -1 is below 0: there is no direction to divide by."""
    real, syn = torch.tensor([1e-200, 0.0], dtype=torch.float64), torch.tensor([-1.0, 2.0], dtype=torch.float64)
    assert torch.equal(project_conflicting(syn, onto_real_N=real), syn)


@given(gradients(), st.sampled_from(RULES))
def test_arguments_are_not_modified_and_real_is_never_altered(pair, rule):
    real, syn = pair
    before = real.clone(), syn.clone()
    direction, _ = combine(real, syn, rule=rule)
    assert torch.equal(real, before[0]) and torch.equal(syn, before[1])
    direction.add_(1.0)  # the direction is the caller's own
    assert torch.equal(real, before[0]) and torch.equal(syn, before[1])
    if rule == "one_sided":
        assert torch.equal(combine(real, syn)[0], real + project_conflicting(syn, onto_real_N=real))


@given(gradients(), st.floats(0, 1e3))
def test_the_direction_gains_at_least_what_real_gives(pair, eps):
    real, syn = pair
    direction, _ = combine(real, syn, eps=eps)
    assert exact_dot(direction, real) >= exact_dot(real, real) * (1 - 1e-12) - (1 + eps) * slack(real, syn)


def pcgrad(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Yu et al. 2020 for two tasks, by hand: each gradient loses its component against the other's original."""
    total = torch.zeros_like(first)
    for own, other in ((first, second), (second, first)):
        dot = exact_dot(own, other)
        total += own - dot / exact_dot(other, other) * other if dot < 0 else own
    return total


@given(gradients())
def test_symmetric_is_pcgrad(pair):
    real, syn = pair
    assume(abs(exact_dot(real, syn)) > slack(real, syn))
    found, _ = combine(real, syn, rule="symmetric")
    assert (found - pcgrad(real, syn)).norm() <= 1e-11 * (real.norm() + syn.norm())


@pytest.mark.torchjd
def test_symmetric_is_torchjd_s_pcgrad():
    """An independent implementation; with two gradients its random order of projections has nothing to choose."""
    reference = pytest.importorskip("torchjd.aggregation").PCGrad()
    conflicts = set()
    for seed in range(40):
        pair = torch.randn(2, 11, dtype=torch.float64, generator=seeded(seed))
        pair[1] *= 10.0 ** (seed % 5 - 2)
        found, report = combine(*pair, rule="symmetric")
        assert (found - reference(pair)).norm() <= 1e-12 * pair.norm()
        conflicts.add(report.conflict.item())
    assert conflicts == {True, False}


@pytest.mark.parametrize("rule", RULES)
def test_a_stack_is_its_gradients_one_at_a_time(rule):
    """Leading dimensions: one test per last dimension, with and without conflict and zeros in one stack."""
    real, syn = torch.randn(2, 2, 3, 11, dtype=torch.float64, generator=seeded(3))
    real[0, 0], syn[1, 2] = 0.0, -real[1, 2]
    together, report = combine(real, syn, eps=0.7, rule=rule)
    projected = project_conflicting(syn, onto_real_N=real)
    assert together.shape == projected.shape == (2, 3, 11)
    for at in itertools.product(range(2), range(3)):
        alone, one = combine(real[at], syn[at], eps=0.7, rule=rule)
        assert (together[at] - alone).abs().max() < 1e-12
        assert (projected[at] - project_conflicting(syn[at], onto_real_N=real[at])).abs().max() < 1e-12
        assert one.conflict.item() or torch.equal(projected[at], syn[at])
        for name in ("cosine", "conflict"):
            assert getattr(report, name).shape == (2, 3)
            assert getattr(report, name)[at].item() == pytest.approx(getattr(one, name).item(), rel=1e-12)
    assert {True, False} == set(report.conflict.flatten().tolist()) and report.cosine[0, 0] == 0


@given(gradients(), st.floats(0, 10))
def test_none_adds_and_drop_leaves_a_conflicting_syn_out(pair, eps):
    real, syn = pair
    assume(abs(exact_dot(real, syn)) > slack(real, syn))
    assert torch.equal(combine(real, syn, eps=eps, rule="none")[0], real + eps * syn)
    dropped, report = combine(real, syn, eps=eps, rule="drop")
    assert report.conflict == (exact_dot(real, syn) < 0)
    assert torch.equal(dropped, real if report.conflict else real + eps * syn)


def test_worked_numbers():
    real = torch.tensor([6.0, 1.0, 1.0], dtype=torch.float64)
    syn = torch.tensor([-4.0, 1.0, 1.0], dtype=torch.float64)
    # dot = -24 + 1 + 1 = -22; |real|^2 = 36 + 1 + 1 = 38; syn + 22/38 real = (-4 + 132/38, 1 + 22/38, 1 + 22/38)
    projected = torch.tensor([-0.5263, 1.5789, 1.5789], dtype=torch.float64)
    assert torch.allclose(project_conflicting(syn, onto_real_N=real), projected, atol=5e-5)
    direction, report = combine(real, syn)
    assert torch.allclose(direction, real + projected, atol=5e-5)
    # cosine -22 / sqrt(38 * 18) = -22 / 26.1534 = -0.8412
    assert report.conflict and report.cosine == pytest.approx(-0.8412, abs=5e-5)
    # symmetric adds real projected onto syn: real + 22/18 syn = (1.1111, 2.2222, 2.2222), sum (0.5848, 3.8012, 3.8012)
    both = torch.tensor([0.5848, 3.8012, 3.8012], dtype=torch.float64)
    assert torch.allclose(combine(real, syn, rule="symmetric")[0], both, atol=5e-5)
    assert combine(real, syn, rule="none")[0].tolist() == [2, 2, 2]
    assert combine(real, syn, rule="drop")[0].tolist() == [6, 1, 1]
    assert combine(real, syn, eps=0.0)[0].tolist() == [6, 1, 1]


def test_all_rules_differ_on_a_conflict_and_agree_without():
    real, syn = torch.tensor([6.0, 1.0, 1.0]), torch.tensor([-4.0, 1.0, 1.0])
    assert len({tuple(combine(real, syn, rule=rule)[0].tolist()) for rule in RULES}) == len(RULES)
    assert len({tuple(combine(real, -syn, rule=rule)[0].tolist()) for rule in RULES}) == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_gradients_are_refused(bad):
    fine, broken = torch.ones(3), torch.tensor([1.0, bad, 1.0])
    for real, syn, name in ((fine, broken, "synthetic"), (broken, fine, "real")):
        with pytest.raises(ValueError, match=f"infinity in the {name}"):
            project_conflicting(syn, onto_real_N=real)
        with pytest.raises(ValueError, match=f"infinity in the {name}"):
            combine(real, syn, rule="none")


@pytest.mark.parametrize("real, syn", [(torch.ones(3), torch.ones(4)), (torch.ones(2, 3), torch.ones(3)),
                                       (torch.ones(()), torch.ones(()))])  # fmt: skip
def test_shapes_are_checked(real, syn):
    with pytest.raises(ValueError, match="two gradients .* of equal shape"):
        project_conflicting(syn, onto_real_N=real)
    with pytest.raises(ValueError, match="two gradients .* of equal shape"):
        combine(real, syn)


def test_bad_rules_and_eps_are_refused():
    with pytest.raises(ValueError, match="rule: expected one of"):
        combine(torch.ones(3), torch.ones(3), rule="pcgrad")
    for eps in (-1e-9, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="eps: expected"):
            combine(torch.ones(3), torch.ones(3), eps=eps)
