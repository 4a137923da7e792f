"""Draws `architecture.svg` from the imports of the package, and checks that they go down the floors.

Run it from anywhere: ``python docs/architecture.py`` writes the picture; with ``--check`` it says what is wrong and
ends with 1 if something is.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "architecture.svg"

FLOORS: tuple[Mapping[str, tuple[float, str]], ...] = (
    {"envs": (2.2, "simulators, tasks, suites")},
    {"basics": (2.6, "names, text, hints, configs")},
    {
        "store": (0.4, "records, files, checkpoints"),
        "learning": (2.0, "what learners share"),
        "statistics": (4.0, "intervals, IQM, profiles"),
    },
    {"world_model": (1.4, "networks, losses, data sets"), "registry": (2.8, "which algorithms there are")},
    {"pwm": (1.2, "online training, extraction"), "baselines": (2.45, "SHAC, PPO, SAC, BC")},
    {"gradients": (2.0, "estimators, references")},
    {
        "runs": (0.0, "ONE run: job, loop, journal"),
        "collection": (1.05, "who acts for data"),
        "analysis": (3.0, "tables, figures, reports"),
        "parity": (4.05, "beside the published one"),
    },
    {"jobs": (2.0, "what a run can do")},
    {"render": (0.9, "videos of policies"), "sweeps": (2.0, "a graph of runs, executors")},
    {"studies": (2.0, "named experiments")},
    {"cli": (1.4, "what a person types"), "api": (2.6, "import pwm_bench as pb")},
    {"bench": (1.4, "benchmarks of the suite"), "testing": (2.6, "what a plug-in must pass")},
)
"""Rooms, from the ground up, each with its column in the picture and what is in it. A room imports from lower floors
alone."""

_BASICS = ("configs", "hints", "names", "quantities", "settings", "text")


def room_of(module: str) -> str | None:
    """The room that a module is in; None for the package itself and for what is not ours."""
    top, *rest = module.split(".")
    if top != "pwm_bench" or not rest or rest[0] == "__init__":  # what it offers is the api's
        return None
    if rest[0] == "__main__":
        return "cli"
    return "basics" if rest[0] in _BASICS else rest[0]


def imports(file: Path) -> Iterator[str]:
    """The modules that a file imports, within functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows(root: Path = ROOT) -> dict[tuple[str, str], list[str]]:
    """Which room imports which, and the files that do."""
    found: dict[tuple[str, str], list[str]] = {}
    for top in ("pwm_bench", "envs", "baselines"):
        for file in sorted((root / top).rglob("*.py")):
            name = file.relative_to(root)
            parts = name.with_suffix("").parts
            own = room_of(".".join(parts if top == "pwm_bench" else ("pwm_bench", *parts)))
            for other in {room_of(module) for module in imports(file)}:
                if own is not None and other is not None and other != own:
                    found.setdefault((own, other), []).append(name.as_posix())
    return found


def faults(found: Mapping[tuple[str, str], list[str]]) -> list[str]:
    """What is wrong with the arrows, one line a fault."""
    floor = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
    wrong = []
    for (own, other), files in sorted(found.items()):
        for room in (own, other):
            if room not in floor:
                wrong.append(f"{room}: a room that FLOORS does not have")
        if own in floor and other in floor and floor[other] >= floor[own]:
            wrong.append(f"{own} imports {other}, which is not below it: {', '.join(files)}")
    graph = {room: sorted(other for own, other in found if own == room) for room, _ in sorted(found)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        wrong.append(f"circle: {' -> '.join(error.args[1])}")
    return wrong


def shown(found: Mapping[tuple[str, str], list[str]]) -> list[tuple[str, str]]:
    """The arrows that do not follow from others: what a room reaches through another is not drawn."""
    below: dict[str, set[str]] = {}

    def reach(room: str) -> set[str]:
        if room not in below:
            below[room] = set()
            for own, other in found:
                if own == room:
                    below[room] |= {other} | reach(other)
        return below[room]

    direct: dict[str, set[str]] = {}
    for own, other in found:
        direct.setdefault(own, set()).add(other)
    return sorted(
        (own, other)
        for own, other in found
        if not any(other in reach(between) for between in direct[own] if between != other)
    )


_WIDTH, _BOX, _HEIGHT, _COLUMN, _STEP = 1100, 190, 46, 212, 86


def draw(found: Mapping[tuple[str, str], list[str]]) -> str:
    """The picture as SVG."""
    places: dict[str, tuple[float, float]] = {}
    for level, rooms in enumerate(FLOORS):
        y = 30 + (len(FLOORS) - 1 - level) * _STEP
        for room, (column, _) in rooms.items():
            places[room] = (20 + column * _COLUMN, y)
    height = 30 + len(FLOORS) * _STEP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 Z" fill="#5b6b7b"/></marker></defs>',
    ]
    leaving = _ports(shown(found), places, 0)
    entering = _ports(shown(found), places, 1)
    for arrow in shown(found):
        own, other = arrow
        x1, y1 = places[own][0] + leaving[arrow], places[own][1] + _HEIGHT
        x2, y2 = places[other][0] + entering[arrow], places[other][1] - 2
        bend = min(40.0, (y2 - y1) / 2)
        lines.append(
            f'<path d="M{x1:.0f},{y1:.0f} C{x1:.0f},{y1 + bend:.0f} {x2:.0f},{y2 - bend:.0f} {x2:.0f},{y2:.0f}" '
            'fill="none" stroke="#5b6b7b" stroke-width="1.3" marker-end="url(#tip)"/>'
        )
    for rooms in FLOORS:
        for room, (_, what) in rooms.items():
            x, y = places[room]
            lines += [
                f'<rect x="{x:.0f}" y="{y:.0f}" width="{_BOX}" height="{_HEIGHT}" rx="6" fill="#eef3f8" '
                'stroke="#2f4b66" stroke-width="1.2"/>',
                f'<text x="{x + _BOX / 2:.0f}" y="{y + 19:.0f}" text-anchor="middle" font-size="15" '
                f'font-weight="bold" fill="#16283a">{escape(room)}</text>',
                f'<text x="{x + _BOX / 2:.0f}" y="{y + 36:.0f}" text-anchor="middle" font-size="11.5" '
                f'fill="#3c4d5e">{escape(what)}</text>',
            ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _ports(
    found: list[tuple[str, str]], places: Mapping[str, tuple[float, float]], end: int
) -> dict[tuple[str, str], float]:
    """Where along its box each arrow leaves (end 0) or enters (end 1), so that arrows cross little."""
    ports = {}
    for room in places:
        mine = sorted((a for a in found if a[end] == room), key=lambda a: places[a[1 - end]][0])
        for number, arrow in enumerate(mine, 1):
            ports[arrow] = number * _BOX / (len(mine) + 1)
    return ports


def main(arguments: list[str]) -> int:
    """Draws, or checks."""
    found = arrows()
    wrong = faults(found)
    if "--check" in arguments and (not PICTURE.exists() or PICTURE.read_text(encoding="utf-8") != draw(found)):
        wrong.append(f"{PICTURE.relative_to(ROOT)} is not what the imports draw: run python docs/architecture.py")
    elif "--check" not in arguments:
        PICTURE.write_text(draw(found), encoding="utf-8")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
