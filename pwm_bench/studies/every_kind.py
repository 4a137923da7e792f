"""A study with a small run of every kind of work, to see that all of them survive what the first one survives."""

from __future__ import annotations

from pwm_bench.sweeps.graph import Study

__all__ = ["DESCRIPTION", "NAME", "every_kind"]

NAME = "every-kind"
DESCRIPTION = (
    "One small run of every kind of work, a few seconds each, for `pwm-bench bench survival --study every-kind`; shows "
    "nothing but that it works."
)


def every_kind() -> Study:
    """The study."""
    from pwm_bench.gradients.models import ModelTraining
    from pwm_bench.gradients.pedagogical.ball_wall_study import BallWallSpec
    from pwm_bench.gradients.pedagogical.pendulum import PendulumSpec
    from pwm_bench.jobs.evaluate import EvaluateSpec
    from pwm_bench.jobs.train_suite import TrainSuiteSpec
    from pwm_bench.jobs.tune import TuneSpec
    from pwm_bench.jobs.tuning import Range
    from pwm_bench.store.inputs import Pending
    from pwm_bench.store.spec import Spec
    from pwm_bench.studies.comparisons import comparison, landscape
    from pwm_bench.studies.gradient_study import model_run
    from pwm_bench.studies.locomotion import survival
    from pwm_bench.studies.multitask import Multitask
    from pwm_bench.studies.multitask_graph import build
    from pwm_bench.world_model.config import WorldModelConfig

    actor = {"batch_size": 8, "horizon": 4, "hidden_actor": (8,), "hidden_critic": (8,), "critic_iterations": 1}
    multitask = Multitask(
        description=DESCRIPTION,
        tasks=("mw-reach", "cartpole-swingup"),
        collect={"episodes": 3, "noise": (0.1,)},
        learner_steps=4000,
        pretrain={
            "holdout": 0.2,
            "evaluations": 2,
            "sizes": {"latent_dim": 16, "encoder_hidden": (16,), "hidden": (24, 24), "num_q": 2, "task_dim": 4},
            "changes": {"batch_size": 8, "horizon": 4},
        },
        gradient_steps=(200,),
        extracts=({"iterations": 100, **actor},),
        clones=({"iterations": 300},),
        evaluations=2,
        arms=("tdmpc2-prior",),
        episodes=2,
    )
    nodes: dict[str, Spec] = dict(build(NAME, multitask, workers=0).nodes)
    nodes["suite"] = TrainSuiteSpec.create(
        task="cartpole-swingup", learner="ppo", env_steps=2000, evaluations=2, evaluation_episodes=1, workers=0,
        overrides={"num_envs": 2, "hidden_actor": (8,), "hidden_critic": (8,), "epochs": 1},
    )  # fmt: skip
    training = survival().specs[0]
    nodes["tuning"] = TuneSpec.create(
        task="cartpole", simulator="warp", algorithm="shac", env_steps=1024, seeds=(0, 1), evaluations=2,
        evaluation_episodes=1, device="cpu", overrides={"num_envs": 4, "horizon": 16, "critic_iterations": 1},
        space={"gamma": Range(low=0.9, high=0.99, scale="log1m")},
    )  # fmt: skip
    policy = {"policy": Pending("training", "policy")}
    nodes["training"] = training
    nodes["evaluation"] = EvaluateSpec.draft({"inputs": policy, "evaluation_episodes": 2}, {}, {"policy": training})
    small = ModelTraining(
        env_steps=640,
        updates=100,
        num_envs=8,
        config=WorldModelConfig(
            latent_dim=16, encoder_hidden=(8,), dynamics_hidden=(8,), reward_hidden=(8,), horizon=3, batch_size=8
        ),
    )
    draft = comparison(
        "cartpole",
        model=small,
        states=8,
        samples=16,
        reference_samples=64,
        horizons=(2, 5),
        worlds=16,
        steps=(0.01, 0.1),
    )
    nodes |= {model_run(spec)[0]: spec for spec in draft.models().values()}
    nodes["comparison"] = draft.comparison()
    slices = landscape("cartpole", small, states=2, points=9, cells=3, arrows=2, worlds=8, horizon=3)
    nodes["landscape"] = next(spec for spec in slices.specs if spec.kind == "landscape")
    nodes["ball and wall"] = BallWallSpec(seeds=2, grid=400, epochs=20, batch_size=50, starts=8, steps=50, samples=8)
    nodes["double pendulum"] = PendulumSpec(
        horizons=(1, 3), model_horizons=(2, 3), model_seeds=2, env_steps=640, updates=30, width=16, batch_size=8,
        states=4, samples=8, noises=(0.1,), hidden=(4,),
    )  # fmt: skip
    return Study(name=NAME, description=DESCRIPTION, nodes=nodes)
