"""An executor of one's own: each run in a process of low priority, one after the other on this machine."""

import subprocess
import tempfile
import time
from pathlib import Path

from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.sweeps.executors.local import COMMAND, ProcessEnd, environment


class NiceExecutor:
    """Starts ``nice pwm-bench run SPEC.json`` for each run."""

    def __init__(self, results, *, options=()):
        self.results, self.options, self.running, self.asked = results, options, [], None

    def start(self, spec, progress):
        folder = tempfile.TemporaryDirectory()
        file, log = Path(folder.name) / f"{spec.id}.json", Path(folder.name) / "log"
        file.write_text(spec.to_json())
        command = ["nice", *COMMAND, "run", str(file), "--results", str(self.results), "--progress", "none"]
        with log.open("w") as out:
            process = subprocess.Popen([*command, *self.options], env=environment(), stdout=out, stderr=out)
        self.running.append((spec, process, folder, log))
        progress(ProgressEvent(phase="setup"))

    def step(self, seconds):
        time.sleep(min(seconds, 0.05))
        ended = [one for one in self.running if one[1].poll() is not None]
        found = []
        for spec, process, folder, log in ended:
            self.running.remove((spec, process, folder, log))
            last = (log.read_text().strip().splitlines() or [""])[-1]
            found.append((spec, ProcessEnd(process.returncode, last, False, asked=self.asked is not None)))
            folder.cleanup()
        return found

    def stop(self, number):
        for _, process, _, _ in self.running:
            process.kill() if self.asked else process.send_signal(number)
        self.asked = number
