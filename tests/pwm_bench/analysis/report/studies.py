"""A study with everything that a report must cope with. As a program, for measuring and looking::

python -m tests.pwm_bench.analysis.report.studies FOLDER 100
pwm-bench report many --results FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pwm_bench.bench.synthetic import make_runs
from pwm_bench.store.seal import seal, without_seal

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">&amp;'"
"""What nobody calls a run, and what no page may execute."""


def make_study(root: Path, number: int = 48, *, study: str = "many") -> list[str]:
    """Writes runs of which a fifth have something wrong with them. Returns the ids."""
    ids = make_runs(root, number, study=study)
    for place, run_id in enumerate(ids):
        file = root / "runs" / study / run_id / "run.json"
        record = json.loads(file.read_text())
        scale = {"pwm": 4.0, "shac": 1.0, "ppo": 0.1}[record["spec"]["algorithm"]]
        lines = [json.loads(line) for line in (file.parent / "evaluations.jsonl").read_text().splitlines()]
        for line in lines:
            line["train_seconds"] *= scale * (1 + 0.01 * place)
        (file.parent / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if place % 15 == 1:
            record |= {"status": "failed", "reason": f"RuntimeError: {HOSTILE}"}
            (file.parent / "traceback.txt").write_text("\n".join(f"line {n} {HOSTILE}" for n in range(30)))
        elif place % 15 == 6:
            record |= {"status": "oom", "reason": "out of memory: tried to allocate 12.00 GiB"}
        elif place % 15 == 8:
            record["members"][1] |= {"status": "diverged", "diverged_at": 120_000}
            record["reason"] = "seed 1 diverged"
        elif place % 15 == 10:
            record["spec"]["config"] |= {"field_1": HOSTILE}
        file.write_text(seal(without_seal(record)))
    (root / "runs" / study / ids[-1] / "run.json").write_text("{")
    return ids


if __name__ == "__main__":
    make_study(Path(sys.argv[1]), int(sys.argv[2]))
