from __future__ import annotations

import os

import pytest
import torch

from pwm_bench.envs.errors import UsageError
from pwm_bench.pwm.released import is_agent, is_multitask, read_agent, read_world_model
from pwm_bench.world_model.inert import load_inert
from tests.pwm_bench.pwm import released_files as files

OBS, ACT = 7, 3


def _load(path):
    return load_inert(path, what="an agent", remedy="fetch it again", packages=("pwm",))


def test_an_agent_computes_what_the_released_formulas_say(tmp_path) -> None:
    files.write_agent(tmp_path / "agent.pt", OBS, ACT)
    content = _load(tmp_path / "agent.pt")
    assert is_agent(content)
    assert not is_multitask(content)
    agent = read_agent(content, "agent.pt")
    model, config = read_world_model(content, agent, "agent.pt")
    assert (agent.hidden_actor, agent.hidden_critic, agent.critic_ensemble) == (files.ACTOR, files.CRITIC, 3)
    assert (config.encoder_hidden, config.dynamics_hidden, config.latent_dim) == ((12,), (20, 20), files.LATENT)
    assert (agent.rewards.mean.item(), agent.rewards.var.item()) == (0.5, 4.0)
    obs, action = torch.randn(1, 50, OBS), 2.0 * torch.rand(1, 50, ACT) - 1.0
    z = files.encode(content, obs)
    for ours, theirs in (
        (model.encode(obs), z),
        (model.next(z, action), files.following(content, z, action)),
        (model.reward(z, action), files.reward(content, z, action)),
        (agent.actor.deterministic(z), files.act(content, z)),
        (agent.critic(z)[0], files.values(content, z[0])),
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    _, std = agent.actor(z)
    torch.testing.assert_close(std, torch.full((1, 1, ACT), -1.2).exp())


class _Bomb:
    target = ""

    def __reduce__(self):
        return os.system, (f"touch {_Bomb.target}",)


def test_an_agent_that_asks_for_anything_else_is_refused_and_nothing_runs(tmp_path) -> None:
    _Bomb.target = str(tmp_path / "ran")
    torch.save(files.agent(OBS, ACT, rms=_Bomb()), tmp_path / "code.pt")
    with pytest.raises(UsageError, match=r"code.pt: refused: it asks for posix.system, so opening it could run code"):
        _load(tmp_path / "code.pt")
    with files.statistics(0.0, 1.0, name="somebody.else") as rms:
        torch.save(files.agent(OBS, ACT, rms=rms), tmp_path / "other.pt")
    with pytest.raises(UsageError, match=r"refused: it asks for somebody.else.RunningMeanStd"):
        _load(tmp_path / "other.pt")
    assert not (tmp_path / "ran").exists()


def test_what_is_wrong_with_an_agent_is_named() -> None:
    def unnumbered(weights: dict[str, torch.Tensor]) -> None:
        for name in [name for name in weights if name.startswith("mu_net.")]:
            weights[f"mu_net.layer{name.removeprefix('mu_net.')}"] = weights.pop(name)

    def error(match: str, part: str, change) -> None:
        content = files.agent(OBS, ACT)
        change(content[part])
        with pytest.raises(UsageError, match=match):
            read_world_model(content, read_agent(content, "a.pt"), "a.pt")

    error("its actor is not PWM's Gaussian one", "actor", lambda w: w.pop("logstd"))
    error("a.pt: actor: lacks 'mu_net.5.bias'", "actor", lambda w: w.pop("mu_net.5.bias"))
    error("its actor is not PWM's Gaussian one", "actor", unnumbered)
    error("critic: holds 5 tensors, no stack of layers", "critic", lambda w: w.pop("params.5"))
    error("world_model: lacks '_encoder.1.ln.bias'", "world_model", lambda w: w.pop("_encoder.1.ln.bias"))
    error(r"must have shape \(1, 12, 10\)", "actor", lambda w: w.update({"mu_net.3.weight": torch.zeros(10, 11)}))
    error("not finite", "critic", lambda w: w["params.0"].fill_(torch.nan))
    error(r"and 5 outputs for the reward", "world_model", lambda w: w.update({"_reward.2.weight": torch.zeros(5, 20)}))
    with pytest.raises(UsageError, match="rew_rms: no running mean, variance and count"):
        read_agent(files.agent(OBS, ACT, rms={"mean": 0.0}), "a.pt")
