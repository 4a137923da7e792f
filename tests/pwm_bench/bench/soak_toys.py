"""A short soak of toy runs, as a process of its own, which forks. Prints what it came to as JSON.

python -m tests.pwm_bench.bench.soak_toys FOLDER STUDY KILLS TYPED
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pwm_bench.bench.survival import soak
from pwm_bench.studies.locomotion import load_study
from tests.pwm_bench.cli.toy_cli import register

if __name__ == "__main__":
    register()
    folder, study, kills, typed = sys.argv[1:]
    told: list[int] = []
    outcome = soak(
        load_study(study), Path(folder), kills=int(kills), seconds=200.0, seed=1, typed=float(typed),
        told=lambda outcome: told.append(sum(outcome.kills.values())),
    )  # fmt: skip
    print(
        json.dumps(
            {
                "kills": sum(outcome.kills.values()),
                "victims": sorted({victim for victim, _ in outcome.kills}),
                "rounds": outcome.rounds,
                "runs": outcome.runs,
                "resumes": outcome.resumes,
                "typed": outcome.typed,
                "problems": outcome.problems,
                "told": max(told),
            }
        )
    )
