"""Videos and figures, taken into the page as data."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from pwm_bench.analysis.report.markup import Markup, command, joined, tag
from pwm_bench.analysis.report.runs import at
from pwm_bench.analysis.report.table import run_link
from pwm_bench.envs.errors import UsageError, unknown
from pwm_bench.store.files import own_file
from pwm_bench.store.plain import read_plain
from pwm_bench.store.results import Results, RunDirectory

__all__ = ["VIDEOS", "Media", "gradients_section"]

_KINDS = {
    "compare-gradients": "comparison",
    "train-model": "world model",
    "landscape": "landscape",
    "ball-wall": "toy problem",
    "double-pendulum": "toy problem",
}
"""What a page calls the runs behind figures of gradients."""
_TYPES = {
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".gif": "image/gif",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
VIDEOS = (".mp4", ".webm", ".gif", ".png")
"""Suffixes of what `pwm-bench render` writes, and of what browsers play."""


@dataclass(slots=True)
class Media:
    """Takes files in as long as there is room.

    Attributes:
        room: that is left [bytes].
        left_out: files for which there was none.
    """

    room: int
    left_out: list[str] = field(default_factory=list)

    def beside(self, folder: Path, what: str) -> list[Markup]:
        """What lies in a run's directory; nothing is said of files that cannot be read, nor of links."""
        found_there = sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []
        files = [path for path in found_there if path.suffix.lower() in VIDEOS and own_file(path, folder)]
        found = (self._figure(path, f"{what}: {path.name}", fatal=False, run=folder.name) for path in files)
        return [figure for figure in found if figure]

    def given(self, paths: Iterable[Path]) -> list[Markup]:
        """Files that the user named.

        Raises:
            UsageError: one cannot be read, is of another kind, or is too large.
        """
        found = []
        for path in paths:
            if path.suffix.lower() not in VIDEOS:
                raise unknown(f"suffix of --videos {path}", path.suffix, VIDEOS)
            found.append(self._figure(path, path.name, fatal=True) or Markup(""))
        return found

    def picture(self, path: Path, caption: str) -> Markup | None:
        """A figure, if it can be read and there is room."""
        return self._figure(path, caption, fatal=False)

    def _figure(self, path: Path, caption: str, *, fatal: bool, run: str = "") -> Markup | None:
        try:
            size = path.stat().st_size
            if size > self.room:
                if fatal:
                    left = f"{size / 1e6:.1f} MB, and {self.room / 1e6:.1f} MB are left"
                    raise UsageError(f"--videos {path}: {left}; raise --megabytes")
                self.left_out.append(f"{path.name} ({size / 1e6:.1f} MB)")
                return None
            content = read_plain(path)
        except OSError as error:
            if fatal:
                raise UsageError(f"--videos {path}: cannot be read ({error.strerror}); check the path") from None
            return None
        self.room -= size
        kind = _TYPES[path.suffix.lower()]
        source = f"data:{kind};base64,{base64.b64encode(content).decode()}"
        shown = (
            tag("video", src=source, controls=True, loop=True, muted=True, playsinline=True, preload="metadata",
                aria_label=caption)
            if kind.startswith("video/")
            else tag("img", src=source, alt=caption)
        )  # fmt: skip
        of = (", run ", run_link(run)) if run else ()
        return tag("figure", shown, tag("figcaption", caption, *of), class_="drawn" if kind == _TYPES[".svg"] else None)


def gradients_section(results: Results, studies: Iterable[str], media: Media, *, required: bool) -> Markup:
    """The figures that gradient studies have left, with what made them.

    Args:
        results: their folder.
        studies: names.
        media: takes the files in.
        required: whether a study that is not there is an error.

    Raises:
        UsageError: such a study.
    """
    parts = []
    for name in studies:
        folder = results.figures_path(f"gradients-{name}")
        found = [figure for path in _drawings(folder) if (figure := media.picture(path, _caption(path, folder)))]
        if found:
            text = f"pwm-bench gradients {quote(name)}{at(results)}"
            intro = tag(
                "p",
                *_origin(results.study_path(folder.name)),
                " ",
                command(text),
                " makes them, with the options in each run.json.",
            )
            parts.append(tag("section", tag("h3", name), intro, tag("div", *found, class_="gallery")))
        elif required:
            raise UsageError(
                f"--gradients {name}: no figures in {folder}; make them with `pwm-bench gradients {quote(name)}`"
                " (extra 'plots')"
            )
    return joined(parts)


def _drawings(folder: Path) -> list[Path]:
    found = [*sorted(folder.glob("*.svg")), *sorted(folder.glob("*/*.svg"))]
    return [path for path in found if own_file(path, folder)]


def _caption(path: Path, folder: Path) -> str:
    name = path.stem.replace("-", " · ").replace("_", " ")
    return name if path.parent == folder else f"{name} ({path.parent.name})"


def _origin(folder: Path) -> list[str]:
    """Commits and devices behind the figures; nothing where the records cannot be read."""
    commits, devices, kinds = set(), set(), Counter[str]()
    for file in sorted(folder.glob("*/run.json")):
        try:
            if not own_file(file, folder):
                continue
            record = RunDirectory(file.parent).read()
        except UsageError:
            continue
        made = record.provenance
        if made is not None:
            commits.add((made.git_commit or "unknown")[:12] + ("+changes" if made.git_dirty else ""))
            devices.add(made.device)
        kinds[_KINDS.get(record.kind, "other run")] += 1
    if not kinds:
        return []
    held = ", ".join(f"{number} {kind}{'s' if number != 1 else ''}" for kind, number in sorted(kinds.items()))
    return [f"{held}; commit {', '.join(sorted(commits))}; {', '.join(sorted(devices))}."]
