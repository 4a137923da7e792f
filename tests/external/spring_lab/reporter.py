"""A reporter of one's own: a diary of the sweep, a line of JSON for each thing that happens."""

import json

from pwm_bench.sweeps.reporters import Reporter


class Diary(Reporter):
    """Writes ``diary.jsonl`` into the results folder."""

    def _write(self, what, item, **more):
        with (self.results / "diary.jsonl").open("a") as file:
            file.write(json.dumps({"what": what, "run": item.name, **more}) + "\n")

    def began(self, item):
        self._write("began", item)

    def ended(self, item):
        self._write("ended", item, status=item.status, reason=item.reason)
