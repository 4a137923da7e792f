"""Several runs in one process, each in a thread of its own: ``pwm-bench run -``, which a sweep talks to.

On a GPU kernels of different processes take turns, and small ones leave most of it idle; those of one process, from
different streams, run beside each other. Each run is what it is alone: its own directory, lock, attempts, checkpoints
and failure, and the same numbers.

Requests come on standard input, a line of JSON each: ``{"run": ID, "spec": SPEC, "device": DEVICE}``. Answers go to
standard output: ``{"run": ID, "event": SNAPSHOT}``, and once ``{"run": ID, "end": END}`` with exit code, message,
status, and whether the run had begun. When no more requests can come, the process ends with its last run; one that is
under way then saves and stops, since whoever listened is gone. A signal that asks to stop asks all runs.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from pwm_bench.envs.company import sharing_process
from pwm_bench.envs.errors import UsageError
from pwm_bench.jobs.kinds import carry_out, read_spec
from pwm_bench.runs.progress import ProgressEvent
from pwm_bench.runs.stop import StopRequest, stop_request

if TYPE_CHECKING:
    import torch

    from pwm_bench.store.results import Results
    from pwm_bench.store.spec import Spec

__all__ = ["carry_out_together", "request"]


def request(spec: Spec, device: str) -> str:
    """The line that asks for a run.

    Args:
        spec: the run.
        device: where all runs of the process compute.
    """
    return json.dumps({"run": spec.id, "spec": json.loads(spec.to_json()), "device": device}) + "\n"


def carry_out_together(results: Results, requests: Iterable[str], say: Callable[[str], None], **options: Any) -> int:
    """Carries runs out as they are asked for, side by side.

    Args:
        results: where their directories lie.
        requests: lines, read in a thread.
        say: passes a line on; called from the runs' threads, one at a time. What it raises ends the run.
        options: those of `pwm_bench.runs.execute.execute`, of every run.

    Returns:
        The exit code of the process: 0, or 128 + signal when stopped.
    """
    news: SimpleQueue[tuple[str, str]] = SimpleQueue()
    with stop_request() as stop:
        company = _Company(results, say, options, news, stop)
        stop.first = lambda number: news.put(("stopped", ""))
        stop.again = partial(os._exit, 128 + signal.SIGINT)
        try:
            threading.Thread(target=company.listen, args=(requests,), daemon=True).start()
            company.run()
        finally:
            stop.first = stop.again = None
        return stop.exit_code if stop else 0


class _Company:
    """The runs of a process."""

    def __init__(
        self,
        results: Results,
        say: Callable[[str], None],
        options: dict[str, Any],
        news: SimpleQueue[tuple[str, str]],
        stop: StopRequest,
    ) -> None:
        self._results, self._say, self._options, self._news, self._stop = results, say, options, news, stop
        self._turn = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}

    def listen(self, requests: Iterable[str]) -> None:
        """Passes requests on to `run`."""
        try:
            for line in requests:
                self._news.put(("asked", line))
        finally:
            self._news.put(("silence", ""))

    def run(self) -> None:
        """Begins runs as they are asked for, until no more can come and all are over. Whatever it is left by, the runs
        have saved and stopped before."""
        try:
            self._serve()
        except BaseException:
            self._stop.request()
            for thread in self._threads.values():
                thread.join()
            raise

    def _serve(self) -> None:
        open_ = not self._stop
        while open_ or self._threads:
            what, text = self._news.get()
            if what == "asked":
                self._begin(text)
            elif what == "ended":
                self._threads.pop(text).join()
            else:
                open_ = False
                if what == "silence" and self._threads:
                    self._stop.request()

    def _begin(self, text: str) -> None:
        import torch  # the sweep imports this module as well

        asked = json.loads(text)
        id_ = asked["run"]
        if self._stop:
            self._end(id_, 128 + (self._stop.signal or signal.SIGINT), began=False)
            return
        try:
            spec, device = read_spec(json.dumps(asked["spec"])), torch.device(asked["device"])
        except UsageError as error:
            self._end(id_, 2, f"error: {error}")
            return
        except (Exception, SystemExit) as error:  # a package from outside may raise any
            traceback.print_exc()
            self._end(id_, 1, f"{type(error).__name__}: {error}", status="failed")
            return
        thread = threading.Thread(target=self._carry_out, args=(spec, device), daemon=True)
        thread.start()
        self._threads[spec.id] = thread

    def _carry_out(self, spec: Spec, device: torch.device) -> None:
        try:
            with sharing_process(device):
                outcome = carry_out(spec, self._results, progress=partial(self._tell, spec), **self._options)
            self._end(spec.id, outcome.exit_code, outcome.record.reason or "", status=outcome.record.status)
        except UsageError as error:
            self._end(spec.id, 2, f"error: {error}")
        except BaseException as error:
            traceback.print_exc()
            self._end(spec.id, 1, f"{type(error).__name__}: {error}", status="failed")
        finally:
            self._news.put(("ended", spec.id))

    def _tell(self, spec: Spec, event: ProgressEvent) -> None:
        self._answer({"run": spec.id, "event": asdict(event)})

    def _end(self, id_: str, code: int, message: str = "", *, status: str = "", began: bool = True) -> None:
        end = {"code": code, "message": message, "status": status, "began": began}
        with suppress(BrokenPipeError):  # whoever would be told is gone, and reads it in the run's directory
            self._answer({"run": id_, "end": end})

    def _answer(self, answer: dict[str, Any]) -> None:
        with self._turn:
            self._say(json.dumps(answer, separators=(",", ":")))
