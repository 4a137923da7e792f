"""Lists the packages: the folders ``envs`` and ``baselines`` are imported as ``pwm_bench.envs`` and
``pwm_bench.baselines``, so that they don't clash with a user's own folder of that name. The package that tests install
from outside is also ``pwm_bench.example``, which `pwm-bench new` copies."""

from setuptools import find_packages, setup

inside = [f"pwm_bench.{name}" for name in find_packages(include=["envs*", "baselines*"])]
setup(packages=[*find_packages(include=["pwm_bench*"]), *inside, "pwm_bench.example"])
