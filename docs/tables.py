"""Writes the tables of the pages here and of the README from stored records and rows: no figure in them is typed.

A table stands between two marks, the first of which says what it is made of, and ``<!-- end -->``:

    <!-- table: hopper first-order --base shac --columns score,interval,difference -->
        what ``pwm-bench table`` prints with these arguments, for results/reference, with its footnotes
    <!-- budgets: 120000 300000: first-order ahac-parts --base shac -->
        the same table's scores at several budgets, or with a base the differences
    <!-- percentiles: tuning-stages -->
        those of the scores of the tunings of a study
    <!-- gradients: gradients-hopper --metrics cosine --estimators analytic model --by run -->
        metrics of comparisons of gradients by horizon, see `_Gradients`
    <!-- measured: 0d8014e2b136 --simulator released --metrics fit_rmse argmin_gap --estimators normed simnorm -->
        metrics of a run about a toy problem, see `_Measured`
    <!-- parity: cartpole hopper -->
        distances between simulators from the records of these tasks
    <!-- drift: hopper -->
        how the distance from MuJoCo C grows, from the record of a task
    <!-- directions: hopper -->
        sizes and cosine of two simulators' gradients by horizon, from the record of a task
    <!-- recordings: cartpole hopper -->
        distances from the recordings of the published simulator, as fractions of what is allowed
    <!-- rows: learners.jsonl limits -->
        a table of the rows that ``pwm-bench bench ... --output`` kept in results/reference/bench, perhaps some columns
    <!-- machine: learners.jsonl -->
        what these rows were made on

``python docs/tables.py`` writes the pages; with ``--check`` it names those whose tables are not as the records are, and
ends with 1 if there are any.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import math
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pwm_bench.bench.ledger import as_markdown, read

if TYPE_CHECKING:
    import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "results" / "reference"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def written(text: str) -> str:
    """A page with every table as its records are."""
    return _MARK.sub(_part, text)


def _part(mark: re.Match[str]) -> str:
    head = mark[0].split("\n", 1)[0]
    return f"{head}\n{_CONTENT[mark[1]](mark[2])}\n<!-- end -->"


def _rows(words: str) -> str:
    file, _, table = words.partition(" ")
    return as_markdown(read(REFERENCE / "bench" / file)[table.strip()])


def _machine(file: str) -> str:
    (row,) = read(REFERENCE / "bench" / file)["machine"]
    return f"{row['machine']}; commit {str(row['commit'])[:7]}; load {row['load']}."


def _table(words: str) -> str:
    """Lines of the table, without the column that has the same place everywhere, and its footnotes."""
    text = _printed(*shlex.split(words), "--format", "markdown").splitlines()
    lines = [line.strip("|").split("|") for line in text if line.startswith("|")]
    if len({line[0] for line in lines[2:]}) == 1:
        lines = [line[1:] for line in lines]
    footnotes = [line for line in text if line.startswith("<sup>")]
    return "\n".join((*(f"|{'|'.join(line)}|" for line in lines), *("\n" + line for line in footnotes)))


def _printed(*words: str) -> str:
    from pwm_bench.cli.main import main

    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        code = main(["table", *words, "--results", str(REFERENCE)])
    if code:
        raise SystemExit(f"pwm-bench table {shlex.join(words)}: ended with {code}")
    return stream.getvalue()


def _budgets(words: str) -> str:
    from pwm_bench.text import number, with_variant

    budgets, _, rest = words.partition(": ")
    differs = "--base" in rest
    names = ("difference", "difference_low", "difference_high") if differs else ("mean", "low", "high")
    found: dict[str, list[str]] = {}
    for budget in budgets.split():
        for row in json.loads(_printed(*shlex.split(rest), "--budget", budget, "--format", "json"))["rows"]:
            value, low, high = (row[name] for name in names)
            if value is not None:
                said = f"{number(value)} [{number(low)}, {number(high)}]"
                found.setdefault(with_variant(row["algorithm"], row["variant"]), []).append(said)
    head = ["difference" if differs else "algorithm", *(f"{int(budget):,} steps" for budget in budgets.split())]
    return _markdown([head, *([name, *cells] for name, cells in found.items())])


def _percentiles(study: str) -> str:
    from pwm_bench.store.results import Results
    from pwm_bench.text import number

    records = [run.read() for run in Results(REFERENCE).runs(study)]
    names = list(records[0].details["percentiles"])
    lines = [
        [str(one.spec["task"]), str(one.spec["algorithm"]), *(number(one.details["percentiles"][n]) for n in names)]
        for one in sorted(records, key=lambda one: (one.spec["algorithm"], one.spec["task"]))
    ]
    return _markdown([["task", "algorithm", *(f"{name}th" for name in names)], *lines])


def _parity(tasks: str) -> str:
    from pwm_bench.parity.schema import read as read_parity
    from pwm_bench.text import MISSING

    head = ["task", "air, Warp", "air, MJX", "ground", *(f"cosine, H = {h}" for h in (1, 8, 32)), "length"]
    lines = [head]
    for task in tasks.split():
        found = read_parity(REFERENCE / "parity" / f"{task}.json")
        air = {one.simulator: f"{one.position:.0e}".replace("e-0", "e-") for one in found.air}
        (ground,) = (
            p.position for one in found.contact if one.simulator == "warp" for p in one.points if p.steps == 16
        )
        cosines = {one.horizon: f"{one.cosine:.3f}" for one in found.angles if one.cosine is not None}
        lengths = {one.simulator: f"{one.length:.0f}" for one in found.returns if one.policy == "zero"}
        own = [f"`{task}`", air["warp"], air["mjx"], f"{ground:.2g}"]
        own += [cosines.get(h, MISSING) for h in (1, 8, 32)]
        lines.append([*own, f"{lengths['warp']}, {lengths['mujoco_c']}"])
    return _markdown(lines)


def _drift(task: str) -> str:
    from pwm_bench.parity.schema import read as read_parity

    found = read_parity(REFERENCE / "parity" / f"{task}.json").contact
    steps = [point.steps for point in found[0].points]
    lines = [[_SIMULATORS[one.simulator], *(_power(point.position) for point in one.points)] for one in found]
    return _markdown([["", f"k = {steps[0]}", *map(str, steps[1:])], *lines])


def _directions(task: str) -> str:
    from pwm_bench.parity.schema import read as read_parity

    found = read_parity(REFERENCE / "parity" / f"{task}.json")
    horizons = [angle.horizon for angle in found.angles]
    norms = [
        [f"norm, {_SIMULATORS[one.simulator]}", *(f"{norm.median:.3g}" for norm in one.norms)]
        for one in found.gradients
    ]
    cosines = ["–" if angle.cosine is None else f"{angle.cosine:.3f}" for angle in found.angles]
    return _markdown([["", f"H = {horizons[0]}", *map(str, horizons[1:])], *norms, ["cosine", *cosines]])


_SIMULATORS = {"warp": "Warp", "mjx": "MJX"}


def _power(value: float) -> str:
    """Two digits, small ones as powers of ten."""
    return f"{value:.2g}" if value >= 0.01 else f"{value:.1e}".replace("e-0", "e-")


_CHECKS = (
    ("joint_q", "trajectory", "float64"),
    ("joint_qd", "trajectory", "float64"),
    ("joint_qd", "one step", "float64"),
    ("joint_q", "trajectory", "float32"),
    ("joint_qd", "one step", "float32"),
)


def _recordings(tasks: str) -> str:
    from pwm_bench.parity.golden.record import read as read_golden

    head = ["task", "recording", "constants", *(f"{run}, {precision}: {name}" for name, run, precision in _CHECKS)]
    lines = [[*head, "gradient: relative error"]]
    for task in tasks.split():
        (path,) = REFERENCE.glob(f"parity/golden/{task}-" + "[0-9a-f]" * 12 + ".json")
        record = read_golden(path)
        found = {(one.name, one.run, one.precision): one for one in record.checks}
        equal = f"{sum(one.compared for one in record.constants):,} equal"
        if any(one.misfits for one in record.constants):
            raise SystemExit(f"{path}: not all constants are equal")
        fractions = (f"{found[check].fraction:.2g}" for check in _CHECKS)
        (gradient,) = (f"{one.error:.1e}" for one in record.checks if one.name == "gradient")
        lines.append([f"`{task}`", record.file, equal, *fractions, gradient.replace("e-0", "e-")])
    return _markdown(lines)


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    """Lines of which the first is the head."""
    ruled = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in ruled)


class _Gradients(argparse.ArgumentParser):
    """Which metrics, of which estimators (in that order), in one loop. ``--by NAME`` takes the comparisons that differ
    by this setting, with a line for each of its values; else those are taken that have no setting but the seed.
    ``--at X`` takes what was measured at that step length, or noise of the double pendulum."""

    def __init__(self) -> None:
        super().__init__()
        self.add_argument("study")
        self.add_argument("--metrics", nargs="+", required=True)
        self.add_argument("--estimators", nargs="+", required=True)
        self.add_argument("--loop", default="open")
        self.add_argument("--by")
        self.add_argument("--horizons", nargs="+", type=int)
        self.add_argument("--at", type=float)
        self.add_argument("--simulator")


class _Measured(argparse.ArgumentParser):
    """A run by its id, with a line for each estimator and a column for each metric, for one variant of the problem."""

    def __init__(self) -> None:
        super().__init__()
        self.add_argument("run")
        self.add_argument("--simulator", required=True)
        self.add_argument("--metrics", nargs="+", required=True)
        self.add_argument("--estimators", nargs="+", required=True)


def _measured(words: str) -> str:
    from pwm_bench.analysis.gradients.problems import toy_label
    from pwm_bench.gradients.rows import read_table
    from pwm_bench.store.results import RunDirectory

    asked = _Measured().parse_args(shlex.split(words))
    (path,) = REFERENCE.glob(f"runs/*/{asked.run}")
    rows = read_table(RunDirectory(path))
    rows = rows[(rows.simulator == asked.simulator) & (rows.state == -1) & rows["at"].isna()]
    table = [["", *(_METRICS.get(metric, metric.replace("_", " ")) for metric in asked.metrics)]]
    for name in asked.estimators:
        own = rows[rows.estimator == name].set_index("metric")
        table.append([toy_label(name), *(_shown(own.loc[m]) if m in own.index else "" for m in asked.metrics)])
    return _markdown(table)


_METRICS = {
    "line_search_of_best": "best step",
    "curvature_random": "curvature",
    "esnr": "ESNR",
    "fit_rmse": "fit RMSE [m]",
    "argmin_gap": "true gap at the model's argmin [m]",
    "descent_gap": "gap after descent, mean over starts [m]",
    "descent_success": "fraction of starts that end within 1 m",
}


@functools.cache
def _frame(study: str) -> pd.DataFrame:
    from pwm_bench.gradients.rows import load_rows
    from pwm_bench.store.results import Results

    return load_rows(Results(REFERENCE), study).assign(study=study)


def _gradients(words: str) -> str:
    from pwm_bench.analysis.gradients.naming import label
    from pwm_bench.analysis.gradients.problems import toy_label

    asked = _Gradients().parse_args(shlex.split(words))
    lines = list(_chosen(asked))
    horizons = asked.horizons or sorted({horizon for *_, found in lines for horizon in found})
    table = [["", *(f"H = {horizon}" for horizon in horizons)]]
    for value, metric, estimator, found in lines:
        known = toy_label(estimator) if "/" in estimator else label(estimator)
        name = f"{_METRICS.get(metric, metric.replace('_', ' '))}, {known}"
        first = f"{value}: {name}" if value else name
        table.append([first, *(found.get(horizon, "") for horizon in horizons)])
    return _markdown(table)


def _chosen(asked: argparse.Namespace) -> Iterator[tuple[str, str, str, dict[int, str]]]:
    """Lines: value of the setting, metric, estimator, and what to show at each horizon."""
    from pwm_bench.analysis.gradients.repeats import distinguishing, in_order, over_repeats
    from pwm_bench.analysis.gradients.table import metric_rows

    frame = _frame(asked.study)
    if asked.at is not None:
        frame = frame[frame["at"] == asked.at].assign(at=math.nan)
    frame = frame[frame.loop.isin((asked.loop, "none"))]
    frame = frame[frame.simulator == asked.simulator] if asked.simulator else frame
    alike = ("model_seed", "loop", asked.by)
    settings = [name for name in distinguishing(frame, everywhere=False) if name not in alike]
    chosen = frame[frame[settings].isna().all(axis=1)] if settings else frame
    if asked.by:
        chosen = chosen[chosen[asked.by].notna()]
    for value in sorted(map(str, chosen[asked.by].unique()), key=in_order) if asked.by else [""]:
        mine = chosen[chosen[asked.by].astype(str) == value] if asked.by else chosen
        for metric in asked.metrics:
            rows = over_repeats(metric_rows(mine, metric, study=asked.study))
            for estimator in asked.estimators:
                own = rows[rows.estimator == estimator]
                if own.horizon.duplicated().any():
                    raise SystemExit(
                        f"{asked.study}: several comparisons of {value or 'the same'} {metric} {estimator}"
                    )
                if len(own):
                    yield value, metric, estimator, {int(row["horizon"]): _shown(row) for _, row in own.iterrows()}


def _shown(row: pd.Series) -> str:
    """A number, with its interval where that has a width which shows."""
    if not math.isfinite(row["value"]):
        return "–"
    size = max(abs(float(row[name])) for name in ("value", "low", "high") if math.isfinite(row[name]))
    digits = 2 if size < 10.0 else 1 if size < 100.0 else 0
    value, low, high = (f"{float(row[name]):,.{digits}f}" for name in ("value", "low", "high"))
    return value if math.isnan(row["low"]) or {low, high} == {value} else f"{value} [{low}, {high}]"


_CONTENT = {
    "rows": _rows,
    "machine": _machine,
    "table": _table,
    "budgets": _budgets,
    "percentiles": _percentiles,
    "parity": _parity,
    "drift": _drift,
    "directions": _directions,
    "recordings": _recordings,
    "gradients": _gradients,
    "measured": _measured,
}


_MARK = re.compile(rf"<!-- ({'|'.join(_CONTENT)}): ([^>]*?) -->\n.*?<!-- end -->", re.DOTALL)


def main(arguments: Sequence[str]) -> int:
    """Writes the pages, or checks them."""
    wrong = []
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = written(before)
        if after != before and "--check" not in arguments:
            page.write_text(after, encoding="utf-8")
        wrong += [page.relative_to(ROOT)] if after != before else []
    if "--check" in arguments:
        for page in wrong:
            print(f"{page}: its tables are not as the records are; run python docs/tables.py")
        return int(bool(wrong))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
