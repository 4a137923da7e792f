"""Many run directories with plausible records, quickly. As a program, for measuring::

python -m pwm_bench.bench.synthetic FOLDER 10000
time pwm-bench results ls --all --results FOLDER
time pwm-bench table many --results FOLDER
"""

from __future__ import annotations

import json
import random
import sys
from itertools import product
from pathlib import Path
from typing import Any

from pwm_bench.store.identity import identity
from pwm_bench.store.results import record_text
from pwm_bench.store.schema import ClockTimes, Counts, Member, Provenance, RunRecord

TASKS, SIMULATORS, ALGORITHMS = ("ant", "hopper", "humanoid", "anymal"), ("warp", "mjx"), ("pwm", "shac", "ppo")


def make_runs(
    root: Path, number: int, *, study: str = "many", seeds: int = 3, evaluations: int = 11, episodes: int = 16
) -> list[str]:
    """Writes runs that differ in their seeds. Returns the ids; the same arguments give the same files."""
    numbers = random.Random(0)
    kinds = list(product(TASKS, SIMULATORS, ALGORITHMS))
    ids = []
    for index in range(number):
        task, simulator, algorithm = kinds[index % len(kinds)]
        first = index // len(kinds) * seeds
        spec: dict[str, Any] = {
            "task": task, "simulator": simulator, "algorithm": algorithm, "env_steps": 300_000,
            "config": {f"field_{i}": i for i in range(40)}, "seeds": list(range(first, first + seeds)),
            "simulator_options": {}, "precision": "float32", "evaluations": evaluations,
            "evaluation_episodes": episodes, "device": "auto", "study": study,
        }  # fmt: skip
        run_id = identity("train", spec)
        path = root / "runs" / study / run_id
        path.mkdir(parents=True)
        skill = [numbers.uniform(500, 3000) for _ in range(seeds)]
        lines = [_line(i, skill, evaluations, episodes, numbers) for i in range(evaluations)]
        (path / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        final = [sum(member) / episodes for member in lines[-1]["returns"]]
        first_return = [sum(member) / episodes for member in lines[0]["returns"]]
        record = RunRecord(
            kind="train", id=run_id, study=study, spec=spec, status="ok", gradient_source="simulator",
            task_hash="0123456789ab",
            members=[
                Member(seed=s, untrained_return=u, final_return=f)
                for s, u, f in zip(spec["seeds"], first_return, final, strict=True)
            ],
            counts=Counts(iterations=600, env_steps=300_000, gradient_steps=9_600),
            clocks=ClockTimes(setup=1.0, train=90.0, evaluate=15.0),
            provenance=Provenance(
                git_commit="0" * 40, git_dirty=None, packages={f"package-{i}": "1.2.3" for i in range(9)},
                python="3.11", platform="p", device="Test CPU (2 cores)", processor="Test CPU (2 cores)",
                driver=None, threads=2, precision="float32",
            ),
            started_at="2026-01-01T00:00:00+00:00", updated_at="2026-01-01T00:10:00+00:00",
        )  # fmt: skip
        (path / "run.json").write_text(record_text(record))
        (path / "spec.json").write_text(json.dumps(spec, indent=2) + "\n")
        ids.append(run_id)
    return ids


def _line(index: int, skill: list[float], evaluations: int, episodes: int, numbers: random.Random) -> dict:
    share = index / (evaluations - 1)
    return {
        "index": index, "env_steps": int(300_000 * share), "gradient_steps": int(9_600 * share),
        "policy_gradient_steps": int(600 * share),
        "train_seconds": 90.0 * share, "cpu_seconds": 95.0 * share, "wall_seconds": 106.0 * share,
        "returns": [[best * share + numbers.gauss(0, 50) for _ in range(episodes)] for best in skill],
        "lengths": [[100 + int(900 * share)] * episodes for _ in skill], "invalid": [0] * len(skill),
        "extras": {"forward_velocity": [[3 * share + numbers.gauss(0, 0.1) for _ in range(episodes)] for _ in skill]},
    }  # fmt: skip


if __name__ == "__main__":
    make_runs(Path(sys.argv[1]), int(sys.argv[2]))
