from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch import Tensor

from pwm_bench.envs.errors import UsageError
from pwm_bench.learning import epilogue
from pwm_bench.learning.expert import Expert
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.extraction.config import VARIANTS, ExtractionConfig, variant
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.pwm.imagination import imagine
from pwm_bench.testing.company import assert_company_changes_nothing
from pwm_bench.testing.host_sync import no_host_sync
from pwm_bench.world_model.multitask import product
from pwm_bench.world_model.multitask.frozen import TaskModel
from pwm_bench.world_model.multitask.networks import MultitaskModel
from tests.pwm_bench.world_model.multitask import reference as ref
from tests.pwm_bench.world_model.multitask.factories import ACT, OBS, tiny_model, tiny_weights

SMALL = {"batch_size": 8, "horizon": 4, "hidden_actor": (12, 8), "hidden_critic": (12,), "critic_iterations": 2}
EXPERTS = (Expert("a", 0), Expert("b", 0), Expert("c", 5))


def _starts(stream: MemberStream, batch: int) -> Tensor:
    return stream.normal(batch, OBS, dtype=torch.float64)


def _model(seed: int = 0, *, episodic: bool = False) -> MultitaskModel:
    model = tiny_model(tiny_weights(seed, episodic=episodic))
    model.action_masks.copy_((torch.arange(ACT) < torch.tensor([[3], [1], [2]])).float())
    model.discounts.copy_(torch.tensor([0.99, 0.95, 0.9]))
    return model.double()


def _examples(stream: MemberStream, batch: int) -> tuple[Tensor, Tensor]:
    """Actions of one kind whatever the observation, one component short of the model's."""
    return _starts(stream, batch), torch.tensor([0.5, -0.25]).expand(stream.members, batch, 2)


def _extractor(experts=EXPERTS, *, episodic: bool = False, **changes) -> Extractor:
    model, config = _model(episodic=episodic), ExtractionConfig(**(SMALL | changes))
    return Extractor(model, experts, config, starts=_starts, examples=_examples)


def test_the_frozen_view_equals_the_model_in_values_and_gradients() -> None:
    model, task = _model(), torch.tensor([2, 0])
    view = TaskModel(model, task, mask_actions=False)
    latent = torch.rand(2, 5, 4, 16, dtype=torch.float64, requires_grad=True)
    action = torch.rand(2, 5, 4, ACT, dtype=torch.float64, requires_grad=True)
    obs = torch.randn(2, 6, OBS, dtype=torch.float64)
    torch.testing.assert_close(view.encode(obs), model.encode(obs, task))
    torch.testing.assert_close(
        view.encode(obs[..., :-2])[0], model.encode(torch.nn.functional.pad(obs[..., :-2], (0, 2)), task)[0]
    )
    for ours, theirs in (
        (view.next(latent, action), model.next(latent, action, task)),
        (view.reward(latent, action), model.reward(latent, action, task)),
    ):
        torch.testing.assert_close(ours, theirs)
        weight = torch.randn_like(ours)
        grads = [torch.autograd.grad((x * weight).sum(), (latent, action)) for x in (ours, theirs)]
        torch.testing.assert_close(grads[0], grads[1])


def test_masked_components_of_an_action_change_nothing() -> None:
    view = TaskModel(_model(), torch.tensor([1]))
    latent, action = torch.rand(1, 3, 16).double(), torch.rand(1, 3, ACT).double()
    other = action.clone()
    other[..., 1:] = -0.7
    assert torch.equal(view.next(latent, action), view.next(latent, other))
    assert torch.equal(view.reward(latent, action), view.reward(latent, other))


@pytest.mark.parametrize("episodic", [False, True])
def test_the_actor_loss_equals_its_formula_in_numpy(episodic) -> None:
    """Eq. 6 with each task's own discount and the critics' minimum at the end; where the model predicts that an episode
    ends, what follows weighs as much as the chance of getting there."""
    extractor = _extractor(episodic=episodic, normalize_returns=False, discount="task")
    weights, policy = tiny_weights(episodic=episodic), extractor.policy
    starts = _starts(MemberStream([e.stream_seed for e in EXPERTS], name="extract/starts"), 16 * 8)[:, :8].numpy()
    noise = MemberStream([e.stream_seed for e in EXPERTS], name="extract").normal(4, 8, ACT, dtype=torch.float64)
    actor = {name: p.detach().numpy().copy() for name, p in policy.actor.named_parameters()}
    critic = {name: p.detach().numpy().copy() for name, p in policy.critic.named_parameters()}
    loss = extractor.update()["actor_loss"]

    def norm(x: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * scale + shift

    def network(params, prefix: str, member: int, x: np.ndarray, hidden: int) -> np.ndarray:
        get = lambda i, name: params[f"{prefix}.layers.{i}.{name}"][member]  # noqa: E731
        for i in range(hidden):
            y = x @ get(i, "linear.weight") + get(i, "linear.bias")
            x = norm(y * np.tanh(np.logaddexp(0, y)), get(i, "norm.weight"), get(i, "norm.bias"))
        return x @ get(hidden, "weight") + get(hidden, "bias")

    for p, gamma in enumerate((0.99, 0.95, 0.9)):
        mask = np.arange(ACT) < (3, 1, 2)[p]
        z, total, alive = ref.encode(weights, p, starts[p]), 0.0, 1.0
        std = np.exp(np.maximum(actor["log_std"][p], -1.427))
        for t in range(4):
            a = np.tanh(network(actor, "mean", p, z, 2) + std * noise[p, t].numpy()) * mask
            total = total + gamma**t * alive * ref.symexp_mean(ref.reward_logits(weights, p, z, a))
            z = ref.following(weights, p, z, a)
            alive = alive * (1.0 - ref.termination(weights, p, z)) if episodic else 1.0
        values = [network(critic, "net", 3 * p + k, z, 1)[:, 0] for k in range(3)]
        expected = -(total + gamma**4 * alive * np.minimum.reduce(values)).mean() / 4
        assert loss[p].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.skipif(bool(product.why_plain(torch.float32)), reason="plain products of rows of all members may differ")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("discount", ["task", "fixed"])
def test_a_member_does_not_depend_on_its_company(precision: str, discount: str) -> None:
    def make(experts: tuple[Expert, ...]) -> Extractor:
        config = ExtractionConfig(**SMALL, precision=precision, discount=discount, imitation=0.5)
        return Extractor(_model().float(), experts, config, starts=_starts, examples=_examples)

    assert_company_changes_nothing(make, EXPERTS, updates=4)


def test_extraction_raises_the_rewards_and_leaves_the_model_alone() -> None:
    model = _model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    config = ExtractionConfig(**(SMALL | {"iterations": 80, "actor_learning_rate": 5e-3}))
    extractor = Extractor(model, EXPERTS, config, starts=_starts)
    obs = torch.randn(3, 50, OBS, generator=torch.Generator().manual_seed(0)).double()

    def rewards() -> Tensor:
        """Mean reward of each member's first four steps without noise."""
        noise = torch.zeros(3, 4, 50, ACT).double()
        with torch.no_grad():
            rollout = imagine(extractor.model, extractor.policy.actor, extractor.model.encode(obs), noise)
        return rollout.rewards.mean((1, 2))

    untrained = rewards()
    for _ in range(80):
        extractor.update()
    assert (rewards() > untrained + 0.01).all()
    assert bool(extractor.alive.all())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_imitation_adds_its_weighted_gradient_to_the_actors() -> None:
    free = {"max_grad_norm_actor": 1e9}
    plain, imitating = _extractor(**free), _extractor(**free, imitation=3.0)
    fresh = _extractor().policy.actor  # the same weights, before any step
    first, second = plain.update(), imitating.update()
    obs, action = _examples(MemberStream([e.stream_seed for e in EXPERTS], name="extract/examples"), 16 * 8)
    acted = fresh.deterministic(plain.model.encode(obs[:, :8]))
    wanted = torch.nn.functional.pad(action[:, :8], (0, ACT - 2))
    error = [(acted[p, :, :k] - wanted[p, :, :k]).square().mean() for p, k in enumerate((3, 1, 2))]
    loss = 3.0 * torch.stack(error)
    torch.testing.assert_close(second["actor_regulariser"], loss.detach())
    torch.testing.assert_close(second["actor_loss"], first["actor_loss"])
    assert "actor_regulariser" not in first
    for name, parameter in fresh.mean.named_parameters():
        (extra,) = torch.autograd.grad(loss.sum(), parameter, retain_graph=True)
        ours, without = (e.policy.actor.mean.get_parameter(name).grad for e in (imitating, plain))
        torch.testing.assert_close(ours - without, extra, rtol=1e-6, atol=1e-9)


def test_policies_that_only_imitate_act_like_the_examples() -> None:
    extractor = _extractor(imitation=1e4, iterations=150, actor_learning_rate=5e-3)
    for _ in range(150):
        extractor.update()
    action = extractor.act(_starts(MemberStream([1, 2, 3], name="test"), 20))
    for p, own in enumerate(([0.5, -0.25, 0.0], [0.5], [0.5, -0.25])):
        assert (action[p, :, : len(own)] - torch.tensor(own)).abs().mean() < 0.05


def test_what_imitation_refuses() -> None:
    with pytest.raises(UsageError, match="imitation=2\\.0: needs examples"):
        Extractor(_model(), EXPERTS, ExtractionConfig(**SMALL, imitation=2.0), starts=_starts)
    for name, value in (
        ("imitation", -1.0),
        ("imitation", float("nan")),
        ("imitation", float("inf")),
        ("imitation_best", 0.0),
        ("imitation_best", 1.5),
        ("imitation_best", float("nan")),
    ):
        with pytest.raises(UsageError, match=f"{name}={value}"):
            ExtractionConfig(**{name: value})


@pytest.mark.parametrize("imitation", [0.0, 3.0])
def test_resuming_continues_exactly(imitation) -> None:
    straight, broken = _extractor(imitation=imitation), _extractor(imitation=imitation)
    for _ in range(3):
        straight.update()
        broken.update()
    buffer = io.BytesIO()
    torch.save(broken.state_dict(), buffer)
    buffer.seek(0)
    resumed = _extractor(imitation=imitation)
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    for _ in range(20):  # beyond the start states that were drawn ahead
        first, second = straight.update(), resumed.update()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert resumed.iteration == 23


def test_a_diverged_member_stops_and_the_others_go_on() -> None:
    extractor = _extractor()
    with torch.no_grad():
        extractor.policy.actor.log_std[1] = torch.nan
    for _ in range(2):
        extractor.update()
    assert extractor.alive.tolist() == [True, False, True]
    moved = extractor.update()["actor_loss"]
    assert torch.isfinite(moved[[0, 2]]).all()


def test_reduced_precision_gives_nearly_the_same_gradient(bfloat16_products) -> None:
    gradients = []
    for precision in ("float32", "bfloat16"):
        config = ExtractionConfig(**(SMALL | {"precision": precision, "batch_size": 64}))
        starts = lambda stream, batch: stream.normal(batch, OBS)  # noqa: E731
        extractor = Extractor(_model().float(), EXPERTS, config, starts=starts)
        extractor.update()
        gradients.append([p.grad.flatten(1) for p in extractor.policy.actor.parameters()])
    one, other = (torch.cat(grads, dim=1) for grads in gradients)
    assert torch.cosine_similarity(one, other).min() > 0.98


def test_variants_differ_as_they_say() -> None:
    released = variant("released")
    assert (released.batch_size, released.lam, released.symlog_rewards) == (512, 0.0, True)
    assert variant("paper") == ExtractionConfig()
    assert set(VARIANTS) == {"paper", "released"}
    extractor = _extractor(**(VARIANTS["released"][0] | {"batch_size": 8}))
    assert torch.isfinite(extractor.update()["critic_loss"]).all()
    with pytest.raises(UsageError, match="unknown variant"):
        variant("relased")
    with pytest.raises(UsageError, match="critic_minibatches=5"):
        variant("paper", critic_minibatches=5)
    with pytest.raises(UsageError, match="unknown task 'd'"):
        _extractor((Expert("d", 0),))


def test_symlog_rewards_are_the_mean_of_the_bins() -> None:
    model, task = _model(), torch.tensor([0])
    plain, symlog = TaskModel(model, task), TaskModel(model, task, symlog_rewards=True)
    latent, action = torch.rand(1, 3, 16).double(), torch.rand(1, 3, ACT).double()
    value = plain.reward(latent, action)
    torch.testing.assert_close(symlog.reward(latent, action), value.sign() * value.abs().log1p())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_update_never_makes_the_host_wait(precision, bfloat16_products) -> None:
    config = ExtractionConfig(**(SMALL | {"precision": precision}))
    extractor = Extractor(_model().float(), EXPERTS, config, starts=_starts)
    extractor.update()  # draws start states ahead, on the host
    before = extractor.policy.critic.net.layers[0].linear.weight.clone()
    with no_host_sync():
        extractor.update()
    assert not torch.equal(extractor.policy.critic.net.layers[0].linear.weight, before)


@pytest.mark.parametrize("native", [True, False], ids=["kernels", "torch"])
def test_the_frozen_view_equals_the_model_in_single_precision(native, monkeypatch, bfloat16_products) -> None:
    monkeypatch.setattr(epilogue, "_FEWEST", 1 if native else 1 << 40)
    if not native:
        monkeypatch.setattr(product, "why_plain", lambda dtype: "another torch")
    model, task = _model().float(), torch.tensor([2, 0])
    generator = torch.Generator().manual_seed(0)
    latent, action = (torch.rand(2, 5, size, generator=generator).requires_grad_() for size in (16, ACT))
    for precision, tolerance in (("float32", 1e-5), ("bfloat16", 4e-2)):
        view = TaskModel(model, task, mask_actions=False, precision=precision)
        for ours, theirs in (
            (view.next(latent, action), model.next(latent, action, task)),
            (view.reward(latent, action), model.reward(latent, action, task)),
        ):
            torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
            grads = [torch.autograd.grad(x.square().sum(), (latent, action)) for x in (ours, theirs)]
            for a, b in zip(*grads, strict=True):
                torch.testing.assert_close(a / b.abs().max(), b / b.abs().max(), rtol=tolerance, atol=tolerance)
