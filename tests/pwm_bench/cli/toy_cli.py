"""The command line with the toy simulator, task and learner registered: ``python -m tests.pwm_bench.cli.toy_cli``."""

from __future__ import annotations

import sys
from typing import Any

from pwm_bench import envs, registry
from pwm_bench.jobs.train_spec import RunSpec
from pwm_bench.studies import locomotion as studies
from pwm_bench.sweeps.executors import local
from pwm_bench.sweeps.graph import Study

COMMAND = (sys.executable, "-m", "tests.pwm_bench.cli.toy_cli")


def toy_spec(**fields: Any) -> RunSpec:
    """A run that takes a fraction of a second."""
    defaults = {"env_steps": 400, "seeds": (0, 1), "evaluations": 3, "evaluation_episodes": 3, "device": "cpu"}
    return RunSpec.create(task="point_mass", simulator="toy", algorithm="fake", **(defaults | fields))


def toy_study() -> Study:
    """Toys: two healthy runs around one that kills itself."""
    return Study(
        name="toys",
        description="toys",
        specs=(
            toy_spec(),
            toy_spec(overrides={"fault": "kill"}),
            toy_spec(overrides={"learning_rate": 0.01}),
        ),
    )


def faulty_study() -> Study:
    """Faulty: two healthy runs around one that takes too much memory, one whose last member diverges, and one that
    raises."""
    return Study(
        name="faulty",
        description="faulty",
        specs=(
            toy_spec(),
            *(toy_spec(overrides={"fault": fault}) for fault in ("hog", "nan", "raise")),
            toy_spec(overrides={"learning_rate": 0.01}),
        ),
    )


def shared_study() -> Study:
    """Shared: enough runs for several sweeps."""
    naps = {"nap": 0.05}
    return Study(
        name="shared",
        description="shared",
        specs=tuple(toy_spec(overrides={"learning_rate": 0.01 * n, **naps}) for n in range(1, 6)),
    )


STUDIES = {"toys": toy_study, "faulty": faulty_study, "shared": shared_study}


def register() -> None:
    """Adds the toys to the registries."""
    envs.TASKS.own["point_mass"] = "pwm_bench.testing.toy:PointMass"
    envs.SIMULATORS.own["toy"] = "pwm_bench.testing.toy:SimulatorToy"
    registry.ALGORITHMS.own["fake"] = "tests.pwm_bench.fake_learner"
    studies.STUDIES.update(STUDIES)
    local.COMMAND = COMMAND


if __name__ == "__main__":
    from pwm_bench.cli.main import main

    register()
    sys.exit(main())
