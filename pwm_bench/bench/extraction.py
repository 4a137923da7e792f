"""``pwm-bench bench extraction``: what it costs to extract policies from a multi-task world model."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pwm_bench import envs
from pwm_bench.bench.plain_extraction import PlainExtraction, ReleasedExtraction
from pwm_bench.bench.timing import interleaved, machine_line
from pwm_bench.cli.showing import plain_table, terminal
from pwm_bench.learning.expert import Expert
from pwm_bench.learning.random import MemberStream
from pwm_bench.pwm.extraction.config import ExtractionConfig
from pwm_bench.pwm.extraction.train import Extractor
from pwm_bench.world_model.multitask.config import sized
from pwm_bench.world_model.multitask.networks import MultitaskModel

__all__ = ["actor_gradient_cosine", "main", "make_extractor", "make_model", "matrix_work", "measure"]

_OBS, _ACT, _TASKS = 39, 6, 30


def main(*, quick: bool = False) -> None:
    """Prints times of an update for the plain implementation, one task, and populations, in float32 and bfloat16.

    Args:
        quick: a 5M model and fewer repetitions, instead of 48M.
    """
    console = terminal()
    device = envs.resolve_device("auto")
    size = "5M" if quick else "48M"
    console.print(f"{machine_line(str(device))}, {torch.get_num_threads()} threads\n", highlight=False)
    model = make_model(size, device)
    with console.status("measuring"):
        populations = (1, 10) if device.type == "cpu" else (1, 10, 30)  # 30 in a row take minutes on a CPU
        seconds = measure(model, populations, repeats=1 if quick else 3)
        cosine = actor_gradient_cosine(model)
    columns = ("tasks", "s/update", "s/task", "1/s", "x plain", "x released", "GFLOP/s")
    table = plain_table(f"One update at batch 64, H 16, {size} world model", "", *columns)
    plain, released = (seconds[(f"{name} float32", 1)] for name in ("plain", "released"))
    work = matrix_work(model, ExtractionConfig())
    for (name, tasks), value in seconds.items():
        per_task = value / tasks
        speed = f"{work / per_task / 1e9:,.0f}" if name in ("float32", "bfloat16") else ""
        ratios = (f"{plain / per_task:.2f}", f"{released / per_task:.2f}")
        table.add_row(name, str(tasks), f"{value:.3f}", f"{per_task:.3f}", f"{1 / per_task:.2f}", *ratios, speed)
    console.print(table)
    console.print(
        "s/task: seconds of an update for each task of the population; 1/s: such updates a second; x: how many times "
        "faster than that baseline\n"
        f"matrix products of an update: {work / 1e9:.1f} GFLOP a task; a 2048 x 2048 product runs at "
        f"{ceiling(device, torch.float32):,.0f} GFLOP/s in float32 and {ceiling(device, torch.bfloat16):,.0f} in "
        f"bfloat16\ncosine of the bfloat16 actor gradient against float32: {cosine:.4f}",
        highlight=False,
    )


def make_model(size: str, device: torch.device | str, *, values: bool = False) -> MultitaskModel:
    """A model of MT80's shapes with 30 tasks and random weights, the reward's last layer included.

    Args:
        size: one of `pwm_bench.world_model.multitask.config.SIZES`.
        device: of all weights.
        values: with the Q functions and the policy prior, which extraction does not use.
    """
    names = [f"task-{k}" for k in range(_TASKS)]
    without: dict[str, int] = {} if values else {"num_q": 0}
    model = MultitaskModel(sized(size, observation_dim=_OBS, action_dim=_ACT, tasks=names, **without), device=device)
    with torch.no_grad():
        for layer in (*model.encoder, *model.dynamics, *model.reward_network):
            layer.weight.normal_(std=layer.weight.shape[-1] ** -0.5)  # as spread as those of a trained model
    return model


def measure(
    model: MultitaskModel, populations: Sequence[int], *, repeats: int, config: ExtractionConfig | None = None
) -> dict[tuple[str, int], float]:
    """Median seconds of an update: (implementation, tasks) -> s, all measured in turn."""
    config = config or ExtractionConfig()
    device = next(model.parameters()).device
    works: dict[str, Callable[[], object]] = {}
    if device.type == "cpu":
        obs = torch.randn(config.batch_size, _OBS)
        plain, released = PlainExtraction(model, 0, config), ReleasedExtraction(model, 0, config)
        works["plain float32|1"] = lambda: plain.update(obs)
        works["released float32|1"] = lambda: released.update(obs)
    for precision in ("float32", "bfloat16"):
        for tasks in populations:
            works[f"{precision}|{tasks}"] = make_extractor(
                model, tasks, dataclasses.replace(config, precision=precision)
            ).update
    seconds = interleaved(works, repeats=repeats, at_least=0.0)
    split = {tuple(key.split("|")): value for key, value in seconds.items()}
    found = {(name, int(tasks)): value for (name, tasks), value in split.items()}
    for name in ("plain", "released"):
        found.setdefault((f"{name} float32", 1), float("nan"))
    return found


def actor_gradient_cosine(model: MultitaskModel, config: ExtractionConfig | None = None) -> float:
    """Cosine between one task's actor gradients computed in bfloat16 and in float32 from equal weights and noise."""
    gradients = []
    for precision in ("float32", "bfloat16"):
        extractor = make_extractor(model, 1, dataclasses.replace(config or ExtractionConfig(), precision=precision))
        extractor.update()
        gradients.append(
            torch.cat([p.grad.flatten() for p in extractor.policy.actor.parameters() if p.grad is not None])
        )
    return torch.cosine_similarity(gradients[0], gradients[1], dim=0).item()


def matrix_work(model: MultitaskModel, config: ExtractionConfig) -> float:
    """Floating-point operations of one task's update that are in matrix products.

    Forward and input gradient of dynamics and reward over H steps, encoder, critics' values of all states, and forward,
    input and weight gradients of the critics' steps (no input gradient of their first layer).
    """
    rows = config.batch_size * config.horizon
    sizes = model.config
    width = lambda layers: sum(i * o for i, o in layers)  # noqa: E731
    dynamics, reward, encoder = (
        sum(p.numel() for p in stack.parameters() if p.dim() == 2)
        for stack in (model.dynamics, model.reward_network, model.encoder)
    )
    critic = [sizes.latent_dim, *config.hidden_critic, 1]
    layers = list(itertools.pairwise(critic))
    fit = 3 * width(layers) - layers[0][0] * layers[0][1]
    actor = [sizes.latent_dim, *config.hidden_actor, sizes.action_dim]
    acting = 3 * width(list(itertools.pairwise(actor)))
    products = (
        rows * (2 * (dynamics + reward) + acting + config.critic_ensemble * width(layers)) + config.batch_size * encoder
    )
    return 2.0 * (products + rows * config.critic_iterations * config.critic_ensemble * fit)


def ceiling(device: torch.device | str, dtype: torch.dtype) -> float:
    """GFLOP/s of a large square matrix product."""
    n = 2048
    x, y = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    return 2.0 * n**3 / interleaved({"": lambda: x @ y}, repeats=3)[""] / 1e9


def make_extractor(model: MultitaskModel, tasks: int, config: ExtractionConfig) -> Extractor:
    """An extractor of the model's first tasks, from start states that cost nothing to draw."""

    def starts(stream: MemberStream, batch: int) -> Tensor:
        return stream.normal(batch, _OBS)

    experts = [Expert(name, 0) for name in model.config.tasks[:tasks]]
    return Extractor(model, experts, config, starts=starts)
