"""Conformance tests for the authors of simulators, tasks, learners and estimators: those that our own have to pass.

Each check is a plain function that raises an `AssertionError` which says what is wrong; call it from pytest, or from
anywhere:

    from pwm_bench import testing

    def test_my_simulator():
        testing.check_simulator("my_lab.simulator:Spring", "cartpole")

Names are as everywhere: registered ones, or ``module:attribute``.
"""

from __future__ import annotations

from pwm_bench.testing.estimators import check_estimator
from pwm_bench.testing.host_sync import exempt, no_host_sync
from pwm_bench.testing.learners import check_learner
from pwm_bench.testing.simulators import check_simulator
from pwm_bench.testing.tasks import check_task

__all__ = ["check_estimator", "check_learner", "check_simulator", "check_task", "exempt", "no_host_sync"]
