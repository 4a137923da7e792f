from __future__ import annotations

import pytest
import torch

from pwm_bench.learning.layers import PopulationMLP
from pwm_bench.learning.optim import PopulationAdam, clip_grad_norm, linear_schedule, polyak_update
from pwm_bench.learning.random import MemberStream
from pwm_bench.testing.company import one_thread

P, K = 3, 2
SHAPES = ((P, 4, 3), (P, 1, 3), (P * K, 3, 2))
LR = torch.tensor([1e-2, 3e-2, 1e-3])


def parameters(members: int = P) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(s, generator=generator)) for s in SHAPES]


def rows(parameter: torch.Tensor, p: int) -> torch.Tensor:
    return parameter.detach().view(P, -1)[p]


def fill_gradients(params, step: int, scale: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(step + 1)
    for p in params:
        p.grad = scale * torch.randn(p.shape, generator=generator)


@pytest.mark.parametrize("lr", [2e-2, LR], ids=["shared", "per member"])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.7, 0.95)])
@pytest.mark.parametrize("alive", [None, torch.ones(P, dtype=torch.bool)], ids=["all", "mask"])
@pytest.mark.parametrize("fused", [False, True], ids=["passes", "fused"])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_adam_equals_torch_adam_member_by_member(lr, betas, alive, fused, decay):
    params = parameters()
    optimiser = PopulationAdam(params, lr, betas, eps=1e-5, members=P, weight_decay=decay, fused=fused)
    singles = []
    for p in range(P):
        own = [torch.nn.Parameter(rows(q, p).clone()) for q in params]
        rate = float(lr[p]) if isinstance(lr, torch.Tensor) else lr
        singles.append((own, torch.optim.AdamW(own, lr=rate, betas=betas, eps=1e-5, weight_decay=decay)))
    for step in range(20):
        fill_gradients(params, step)
        optimiser.step(alive)
        for p, (own, adam) in enumerate(singles):
            for q, r in zip(own, params, strict=True):
                q.grad = r.grad.view(P, -1)[p].clone()
            adam.step()
    for p, (own, _) in enumerate(singles):
        for q, r in zip(own, params, strict=True):
            torch.testing.assert_close(rows(r, p), q.detach(), rtol=1e-5, atol=1e-6)


def test_a_single_member_equals_torch_adam():
    own = torch.nn.Parameter(torch.linspace(-1, 1, 12).view(1, 4, 3))
    other = torch.nn.Parameter(own.detach().clone())
    mine, torchs = PopulationAdam([own], 1e-2, members=1), torch.optim.Adam([other], lr=1e-2)
    for step in range(10):
        own.grad = torch.sin(own.detach() * (step + 1))
        other.grad = own.grad.clone()
        mine.step()
        torchs.step()
    torch.testing.assert_close(own, other)


@pytest.mark.parametrize("fused", [False, True], ids=["passes", "fused"])
def test_members_that_are_not_alive_are_left_untouched(fused):
    params, free = parameters(), parameters()
    optimiser = PopulationAdam(params, LR, members=P, fused=fused)
    reference = PopulationAdam(free, LR, members=P)
    alive = torch.tensor([True, False, True])
    before = [rows(q, 1).clone() for q in params]
    for step in range(5):
        for owner in (params, free):
            fill_gradients(owner, step)
        for q in params:
            q.grad.view(P, -1)[1] = float("nan")
        optimiser.step(alive)
        reference.step()
    for q, r, old in zip(params, free, before, strict=True):
        assert torch.equal(rows(q, 1), old)
        for p in (0, 2):
            torch.testing.assert_close(rows(q, p), rows(r, p))


def test_a_member_steps_by_itself_with_a_clipped_gradient():
    params, clipped = parameters(), parameters()
    one, other = (PopulationAdam(owner, LR, members=P, fused=True) for owner in (params, clipped))
    for step in range(3):
        fill_gradients(params, step)
        fill_gradients(clipped, step, scale=0.25)
        for member in range(P):
            one.step_member(member, [q.grad.view(P, -1)[member] for q in params], clip=torch.tensor(0.25))
        other.step()
    for q, r in zip(params, clipped, strict=True):
        torch.testing.assert_close(q, r)


def test_adam_resumes_exactly():
    params = parameters()
    optimiser = PopulationAdam(params, LR, members=P)
    fill_gradients(params, 0)
    optimiser.step()
    copies = [torch.nn.Parameter(q.detach().clone()) for q in params]
    resumed = PopulationAdam(copies, 1.0, members=P)
    resumed.load_state_dict(optimiser.state_dict())
    for owner, steps in ((params, optimiser), (copies, resumed)):
        fill_gradients(owner, 1)
        steps.step()
    for q, r in zip(params, copies, strict=True):
        assert torch.equal(q, r)


@pytest.mark.parametrize("max_norm", [0.5, 1e3])
def test_clipping_equals_torch_member_by_member(max_norm):
    params = parameters()
    fill_gradients(params, 0, scale=3.0)
    singles = []
    for p in range(P):
        own = [torch.nn.Parameter(rows(q, p).clone()) for q in params]
        for q, r in zip(own, params, strict=True):
            q.grad = r.grad.view(P, -1)[p].clone()
        singles.append((own, torch.nn.utils.clip_grad_norm_(own, max_norm)))
    norms = clip_grad_norm(params, max_norm, P)
    torch.testing.assert_close(norms, torch.stack([norm for _, norm in singles]))
    for p, (own, _) in enumerate(singles):
        for q, r in zip(own, params, strict=True):
            torch.testing.assert_close(r.grad.view(P, -1)[p], q.grad)


def test_clipping_a_single_member_and_one_without_a_gradient():
    own, idle = torch.nn.Parameter(torch.ones(1, 2, 2)), torch.nn.Parameter(torch.ones(1, 3))
    own.grad = torch.full((1, 2, 2), 2.0)
    torch.testing.assert_close(clip_grad_norm([own, idle], 1.0, 1), torch.tensor([4.0]))
    torch.testing.assert_close(own.grad, torch.full((1, 2, 2), 0.5))


def test_a_bad_gradient_shows_in_its_own_norm_only():
    params = parameters()
    fill_gradients(params, 0)
    params[2].grad[2] = float("inf")  # row 2 is the first critic of member 1
    norms = clip_grad_norm(params, 1.0, P)
    assert torch.isfinite(norms).tolist() == [True, False, True]
    assert all(torch.isfinite(q.grad.view(P, -1)[[0, 2]]).all() for q in params)


@pytest.mark.parametrize("fused", [False, True], ids=["passes", "fused"])
def test_a_member_trains_the_same_alone_and_in_company(fused):
    """To the bit, in a crowd that fills the processor's vectors too."""
    seeds = tuple(range(20))

    def train(chosen: tuple[int, ...]) -> list[torch.Tensor]:
        members = len(chosen)
        net = PopulationMLP(members, (3, 8, 1), "elu", "post", stream=MemberStream(chosen))
        params = list(net.parameters())
        optimiser = PopulationAdam(params, 1e-2, members=members, fused=fused)
        noise = MemberStream(chosen, name="noise")
        norms = []
        for _ in range(40):
            x = noise.normal(16, 3)
            optimiser.zero_grad()
            (net(x).squeeze(-1) - x.sum(-1)).square().mean(1).sum().backward()
            norms.append(clip_grad_norm(params, 1.0, members))
            optimiser.step()
        return [*params, torch.stack(norms, dim=1)]

    with one_thread():
        together = train(seeds)
        for chosen in ((0,), (7,), (19,), (3, 4)):
            for ours, theirs in zip(train(chosen), together, strict=True):
                assert torch.equal(ours, theirs[list(chosen)])


def test_linear_schedule():
    assert linear_schedule(1.0, 0.0, 0.25) == 0.75
    assert linear_schedule(1.0, 0.5, 2.0) == 0.5
    assert linear_schedule(1.0, 0.5, -1.0) == 1.0


def test_polyak_update_goes_a_fraction_of_the_way_for_members_alive():
    target, source = torch.tensor([[0.0, 2.0], [1.0, 1.0]]), torch.tensor([[4.0, 6.0], [float("nan"), 3.0]])
    polyak_update([target], [source], 0.25, torch.tensor([True, False]))
    torch.testing.assert_close(target, torch.tensor([[1.0, 3.0], [1.0, 1.0]]))
    ensemble = torch.zeros(4, 1)  # two members, two rows each
    polyak_update([ensemble], [torch.ones(4, 1)], 0.5, torch.tensor([False, True]))
    torch.testing.assert_close(ensemble, torch.tensor([[0.0], [0.0], [0.5], [0.5]]))
    polyak_update([target], [torch.zeros(2, 2)], 1.0)
    torch.testing.assert_close(target, torch.zeros(2, 2))


@pytest.mark.parametrize("fused", [False, True], ids=["passes", "fused"])
@pytest.mark.parametrize("lr", [5e-4, LR], ids=["one rate", "a rate a member"])
def test_goes_on_from_a_saved_state_to_the_same_bits(lr, fused):
    """5e-4 is no float32, so a rate that was kept in double would come back another."""
    params = [torch.nn.Parameter(torch.randn(P, 40, 3))]
    copies = [torch.nn.Parameter(params[0].detach().clone())]
    one, other = (PopulationAdam(owned, lr, members=P, fused=fused) for owned in (params, copies))
    for resumed in (False, True):
        if resumed:
            other.load_state_dict(one.state_dict())
        for _ in range(3):
            for p in (params[0], copies[0]):
                p.grad = p.detach().cos()
            one.step()
            other.step()
        assert torch.equal(params[0], copies[0])
