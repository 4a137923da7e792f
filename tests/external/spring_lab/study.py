"""A study of one's own: two learners, two simulators, and what four estimators make of the gradient."""

from pwm_bench.gradients.spec import Comparison
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.sweeps.graph import Study


def shuttle_study():
    """Plain ascent and SHAC on the shuttle, in the lab's own simulator and in Warp."""
    runs = [
        RunSpec.create(
            task="shuttle",
            simulator=simulator,
            algorithm=algorithm,
            env_steps=6_400,
            seeds=(0, 1),
            evaluations=3,
            evaluation_episodes=4,
            overrides={"num_envs": 16, "horizon": 16},
        )
        for simulator, algorithm in (("linear", "plain"), ("linear", "shac"), ("warp", "plain"))
    ]
    comparison = Comparison(
        task="shuttle",
        simulators=("linear",),
        estimators=("analytic", "score", "spherical", "spring_lab.estimator:Spherical"),
        horizons=(2, 4),
        states=4,
        samples=64,
        reference_samples=128,
        worlds=64,
    )
    return Study(name="shuttle-study", description="what a package from outside can do", specs=(*runs, comparison))
