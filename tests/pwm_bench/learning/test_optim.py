from __future__ import annotations

import math

import pytest
import torch
import warp

from pwm_bench.learning.adam_kernels import PIECE, _kernels
from pwm_bench.learning.layers import PopulationMLP
from pwm_bench.learning.optim import PopulationAdam, linear_schedule, polyak_update
from pwm_bench.learning.random import MemberStream
from pwm_bench.learning.threads import one_thread
from tests.rehearsal.mirror import DEVICE, rehearsal, to_cpu

P, K = 3, 2
SHAPES = ((P, 4, 3), (P, 1, 3), (P * K, 3, 2), (P, 2, PIECE))
LR = torch.tensor([1e-2, 3e-2, 1e-3])
DEVICES = pytest.mark.parametrize("device", ["cpu", DEVICE], ids=["for a CPU", "for a GPU"])


@pytest.fixture(autouse=True)
def _rehearsal():
    with rehearsal():
        yield


def parameters(device="cpu", dtype=torch.float32) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(s, generator=generator).to(device, dtype)) for s in SHAPES]


def rows(parameter: torch.Tensor, p: int) -> torch.Tensor:
    return to_cpu(parameter.detach()).view(P, -1)[p]


def fill_gradients(params, step: int, scale: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(step + 1)
    for p in params:
        p.grad = (scale * torch.randn(p.shape, generator=generator)).to(p.device, p.dtype)


@DEVICES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("lr", "betas", "decay", "max_norm", "masked"),
    [
        (2e-2, (0.9, 0.999), 0.0, math.inf, False),
        (LR, (0.7, 0.95), 0.3, 20.0, True),
        (LR, (0.9, 0.999), 0.0, 20.0, False),
        (2e-2, (0.0, 0.9), 0.3, math.inf, True),
    ],
)
def test_adam_with_clipping_equals_torch_member_by_member(device, dtype, lr, betas, decay, max_norm, masked):
    params = parameters(device, dtype)
    optimiser = PopulationAdam(params, lr, betas, eps=1e-5, members=P, weight_decay=decay)
    alive = torch.ones(P, dtype=torch.bool).to(device) if masked else None
    singles = []
    for p in range(P):
        own = [torch.nn.Parameter(rows(q, p).clone()) for q in params]
        rate = float(lr[p] if isinstance(lr, torch.Tensor) else torch.tensor(lr))
        singles.append((own, torch.optim.AdamW(own, lr=rate, betas=betas, eps=1e-5, weight_decay=decay)))
    for step in range(20):
        fill_gradients(params, step, scale=1.0 if step % 2 else 0.1)  # clipped and not
        for p, (own, _) in enumerate(singles):
            for q, r in zip(own, params, strict=True):
                q.grad = rows(r.grad, p).clone()
        norms = to_cpu(optimiser.clip_grad_norm(max_norm)) if max_norm < math.inf else None
        optimiser.step(alive)
        for p, (own, adam) in enumerate(singles):
            norm = torch.nn.utils.clip_grad_norm_(own, max_norm)
            if norms is not None:
                torch.testing.assert_close(norms[p], norm, rtol=1e-5, atol=0.0)
            adam.step()
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    for p, (own, _) in enumerate(singles):
        for q, r in zip(own, params, strict=True):
            torch.testing.assert_close(rows(r, p), q.detach(), rtol=tolerance, atol=tolerance)


@DEVICES
def test_step_sizes_are_float32_whatever_torch_takes_by_default(device):
    """Kernels are told their address alone."""
    torch.set_default_dtype(torch.float64)
    try:
        params = parameters(device)
        optimiser = PopulationAdam(params, LR, members=P)
    finally:
        torch.set_default_dtype(torch.float32)
    fill_gradients(params, 0)
    before = [p.detach().clone() for p in params]
    optimiser.step()
    for old, new in zip(before, params, strict=True):
        moved = to_cpu((new.detach() - old).abs()).view(P, -1)  # Adam's first step is one step size, in every component
        torch.testing.assert_close(moved, LR.unsqueeze(1).expand_as(moved), rtol=1e-2, atol=0.0)


@DEVICES
def test_members_that_are_not_alive_are_left_untouched(device):
    params, free = parameters(device), parameters(device)
    optimiser, reference = (PopulationAdam(owner, LR, members=P) for owner in (params, free))
    alive = torch.tensor([True, False, True]).to(device)
    before = [rows(q, 1).clone() for q in params]
    for step in range(5):
        for owner in (params, free):
            fill_gradients(owner, step)
        for q in params:
            to_cpu(q.grad).view(P, -1)[1] = float("nan")
        norm = to_cpu(optimiser.clip_grad_norm(1.0))
        assert torch.isfinite(norm).tolist() == [True, False, True]
        optimiser.step(alive)
        reference.clip_grad_norm(1.0)
        reference.step()
    for q, r, old in zip(params, free, before, strict=True):
        assert torch.equal(rows(q, 1), old)
        for p in (0, 2):
            assert torch.equal(rows(q, p), rows(r, p))
    state = to_cpu(optimiser.state_dict())
    assert state["step"].tolist() == [5.0, 0.0, 5.0]
    assert not state["moments"][:, 1].any()


@DEVICES
def test_no_gradient_counts_as_a_zero_one(device):
    params, zeros = parameters(device), parameters(device)
    optimiser, reference = (PopulationAdam(owner, LR, members=P) for owner in (params, zeros))
    for step in range(2):
        for owner, idle in ((params, None), (zeros, torch.zeros(SHAPES[2]).to(device))):
            fill_gradients(owner, step)
            owner[2].grad = idle if step else owner[2].grad
        norms = [to_cpu(o.clip_grad_norm(1.0)) for o in (optimiser, reference)]
        assert torch.equal(*norms)
        optimiser.step()
        reference.step()
    for q, r in zip(params, zeros, strict=True):
        assert torch.equal(to_cpu(q), to_cpu(r))


@DEVICES
def test_a_clip_is_of_the_next_step_only(device):
    params, others = parameters(device), parameters(device)
    optimiser, reference = (PopulationAdam(owner, LR, members=P) for owner in (params, others))
    fill_gradients(params, 0)
    optimiser.clip_grad_norm(1e-3)
    optimiser.zero_grad()
    for owner, steps in ((params, optimiser), (others, reference)):
        fill_gradients(owner, 1)
        steps.step()
    for q, r in zip(params, others, strict=True):
        assert torch.equal(to_cpu(q), to_cpu(r))


def test_no_clip_measures_only():
    params, others = parameters("cpu"), parameters("cpu")
    optimisers = [PopulationAdam(owner, LR, members=P) for owner in (params, others)]
    for owner in (params, others):
        fill_gradients(owner, 0, 1e3)
    norms = [steps.clip_grad_norm(bound) for steps, bound in zip(optimisers, (None, float("inf")), strict=True)]
    assert torch.equal(*norms)
    for steps in optimisers:
        steps.step()
    for q, r in zip(params, others, strict=True):
        assert torch.equal(q, r)


def test_more_parameters_than_a_launch_takes():
    shape = (2, 3)
    params, others = ([torch.nn.Parameter(torch.ones(shape).to(d)) for _ in range(150)] for d in (DEVICE, "cpu"))
    for owner in (params, others):
        for number, p in enumerate(owner):
            p.grad = torch.full(shape, number - 60.0).to(p.device)
        optimiser = PopulationAdam(owner, 1e-2, members=2)
        optimiser.clip_grad_norm(5.0)
        optimiser.step()
        assert to_cpu(optimiser.state_dict()["step"]).tolist() == [1.0, 1.0]
    for q, r in zip(params, others, strict=True):
        torch.testing.assert_close(to_cpu(q), to_cpu(r), rtol=1e-6, atol=1e-6)


def test_a_step_takes_three_launches_on_a_gpu():
    params = parameters(DEVICE)
    optimiser = PopulationAdam(params, LR, members=P)
    for clipped, expected in ((True, 3), (False, 2)):
        fill_gradients(params, 0)
        with rehearsal() as seen, seen.watching():
            if clipped:
                optimiser.clip_grad_norm(1.0)
            optimiser.step()
            assert seen.launches.total() == expected


@DEVICES
def test_a_gradient_whose_squares_are_too_large_is_not_finite(device):
    """Alike on both, so that the same members stop."""
    params = parameters(device)
    fill_gradients(params, 0, 1e30)
    assert to_cpu(PopulationAdam(params, LR, members=P).clip_grad_norm(1.0)).isinf().all()
    fill_gradients(params, 0, 1e17)
    assert to_cpu(PopulationAdam(params, LR, members=P).clip_grad_norm(1.0)).isfinite().all()


@pytest.mark.slow
def test_the_kernels_compile_for_a_gpu(tmp_path):
    for kernel in _kernels(torch.float32)[:3]:
        warp.compile_aot_module(kernel.module, arch=90, module_dir=tmp_path)
    assert len(list(tmp_path.glob("*.cubin"))) == 3


@DEVICES
def test_parameters_that_moved_to_other_memory_are_followed(device):
    params, others = parameters(device), parameters(device)
    optimiser, reference = (PopulationAdam(owner, LR, members=P) for owner in (params, others))
    for step in range(3):
        for owner, steps in ((params, optimiser), (others, reference)):
            fill_gradients(owner, step)
            steps.step()
        if device == "cpu":
            params[0].data = params[0].data.clone()
    for q, r in zip(params, others, strict=True):
        assert torch.equal(to_cpu(q), to_cpu(r))


def test_a_step_is_a_change_that_autograd_sees():
    for device in ("cpu", DEVICE):
        params = parameters(device)
        optimiser = PopulationAdam(params, LR, members=P)
        used = params[0].square().sum()
        optimiser.step()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            used.backward()


@DEVICES
def test_a_member_trains_the_same_alone_and_in_company(device):
    """To the bit, in a crowd that fills the processor's vectors too."""
    seeds = tuple(range(20))

    def train(chosen: tuple[int, ...]) -> list[torch.Tensor]:
        members = len(chosen)
        net = PopulationMLP(members, (3, 8, 1), "elu", "post", stream=MemberStream(chosen)).to(device)
        params = list(net.parameters())
        optimiser = PopulationAdam(params, 1e-2, members=members)
        noise = MemberStream(chosen, name="noise")
        norms = []
        for _ in range(40):
            x = noise.normal(16, 3).to(device)
            optimiser.zero_grad()
            (net(x).squeeze(-1) - x.sum(-1)).square().mean(1).sum().backward()
            norms.append(optimiser.clip_grad_norm(1.0))
            optimiser.step()
        return to_cpu([*params, torch.stack(norms, dim=1)])

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


@pytest.mark.parametrize("alive", [None, torch.tensor([True, True])])
def test_each_member_may_have_its_own_fraction(alive):
    target, ensemble = torch.zeros(2, 2), torch.zeros(4, 1, 1)  # two members of one and of two rows
    rates = torch.tensor([0.25, 0.5], dtype=torch.float64)
    polyak_update([target, ensemble], [torch.ones(2, 2), torch.ones(4, 1, 1)], rates, alive)
    torch.testing.assert_close(target, torch.tensor([[0.25, 0.25], [0.5, 0.5]]))
    torch.testing.assert_close(ensemble.flatten(), torch.tensor([0.25, 0.25, 0.5, 0.5]))


@DEVICES
@pytest.mark.parametrize(
    "lr",
    [5e-4, LR, torch.tensor([5e-4, 3e-4, 1e-3], dtype=torch.float64), torch.tensor(5e-4, dtype=torch.float64)],
    ids=["one rate", "a rate a member", "a rate a member in double", "one rate in double"],
)
def test_goes_on_from_a_saved_state_to_the_same_bits(lr, device):
    """5e-4 is no float32, so a rate that was kept in double would come back another."""
    params, copies = parameters(device), parameters(device)
    one, other = PopulationAdam(params, lr, members=P), PopulationAdam(copies, 1.0, members=P)

    def train(owner, optimiser, steps):
        for step in steps:
            fill_gradients(owner, step)
            optimiser.clip_grad_norm(10.0)
            optimiser.step()

    train(params, one, range(3))
    with torch.no_grad():
        for q, r in zip(copies, params, strict=True):
            q.copy_(r)
    other.load_state_dict(one.state_dict())
    train(params, one, range(3, 6))
    train(copies, other, range(3, 6))
    for q, r in zip(params, copies, strict=True):
        assert torch.equal(to_cpu(q), to_cpu(r))
