from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")

from matplotlib.colors import rgb_to_hsv, to_rgb  # noqa: E402

from pwm_bench.analysis.plots.style import (  # noqa: E402
    FORMATS,
    PALETTE,
    WIDTHS,
    count_axis,
    look,
    looks,
    number_axis,
    paper,
    save,
    subplots,
    time_axis,
)
from pwm_bench.envs.errors import UsageError  # noqa: E402

MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def draw(width="single"):
    figure, axes = subplots(width=width)
    axes[0, 0].plot([0, 1], [0, 2], **look("shac").line)
    return figure


def test_a_name_looks_the_same_in_any_company():
    alone, together = looks(["shac"])["shac"], looks(["dreamer", "pwm", "shac"])
    assert alone == together["shac"] == look("shac") == look("shac (gamma=0.9)")
    assert together["dreamer"] not in (together["pwm"], together["shac"])
    assert list(together) == ["dreamer", "pwm", "shac"]


def test_variants_of_one_algorithm_differ():
    names = ["shac (gamma=0.9)", "shac (gamma=0.99)", *(f"other {i}" for i in range(25))]
    found = looks(names)
    assert len({repr(one) for one in found.values()}) == len(names)


def test_variants_have_shades_of_their_algorithms_colour_and_no_other_algorithms_look():
    names = [f"{name} ({how})" for name in ("ppo", "pwm") for how in ("one setting for all tasks", "tuned")]
    found = looks([*names, "pwm"])
    assert found["pwm"] == look("pwm")
    assert found["ppo (one setting for all tasks)"] == look("ppo")
    for name in names:
        own = rgb_to_hsv(to_rgb(look(name).colour))
        shade = rgb_to_hsv(to_rgb(found[name].colour))
        assert shade[0] == pytest.approx(own[0], abs=0.01)  # the hue
    for algorithm in ("ppo", "pwm"):
        mine = [one for name, one in found.items() if name.startswith(algorithm)]
        assert len({(repr(one.dash), one.marker) for one in mine}) == len(mine)  # told apart in grey


# Machado, Oliveira and Fernandes 2009, severity 1; on linear RGB.
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_can_be_told_apart_by_the_colour_blind(kind):
    """Distances in RGB after simulating the deficiency; plain red and green end 0.1 or less apart."""

    def seen(colour: str) -> np.ndarray:
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return np.clip(np.array(BLINDNESS[kind]) @ linear, 0, 1) ** (1 / 2.2)

    common = kind != "tritanopia"  # which is a hundred times rarer; there, dashes and markers must do
    for a, b in combinations(PALETTE[:3], 2):  # PWM, SHAC, PPO
        assert np.linalg.norm(seen(a) - seen(b)) > (0.35 if common else 0.1), (a, b)
    for a, b in combinations(PALETTE, 2):
        assert np.linalg.norm(seen(a) - seen(b)) > (0.18 if common else 0.1), (a, b)


@pytest.mark.parametrize("width", WIDTHS)
def test_figures_have_print_size(width):
    with paper():
        assert draw(width).get_size_inches()[0] == WIDTHS[width]


def test_saving_gives_the_same_bytes_every_time(tmp_path):
    with paper():
        first = save(draw(), tmp_path / "new" / "a")
        second = save(draw(), tmp_path / "b")
    assert [file.suffix[1:] for file in first] == list(FORMATS)
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
        assert a.read_bytes().startswith(MAGIC[a.suffix[1:]])
    assert b"/Type3" not in first[2].read_bytes()


def test_settings_do_not_leak():
    before = dict(matplotlib.rcParams)
    with paper():
        assert matplotlib.rcParams["font.size"] == 8
    assert dict(matplotlib.rcParams) == before


def test_refusals(tmp_path):
    with paper():
        with pytest.raises(UsageError, match="unknown width 'singel': did you mean 'single'"):
            subplots(width="singel")
        with pytest.raises(UsageError, match="unknown figure format 'pgn': did you mean 'png'"):
            save(draw(), tmp_path / "a", ["pgn"])
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="cannot be written"):
            save(draw(), tmp_path / "file" / "a", ["png"])


def test_axes_read_well():
    with paper():
        figure, axes = subplots()
        panel = axes[0, 0]
        panel.plot([0, 1_000_000], [-1500, 1500])
        count_axis(panel.xaxis)
        number_axis(panel.yaxis)
        figure.canvas.draw()
        assert "500k" in [tick.get_text() for tick in panel.get_xticklabels()]
        assert "\u22121,000" in [tick.get_text() for tick in panel.get_yticklabels()]
    assert [time_axis(panel, seconds) for seconds in (90, 1200, 90_000)] == [(1.0, "s"), (60.0, "min"), (3600.0, "h")]
