from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pwm_bench.envs.errors import UsageError
from pwm_bench.render.files import FORMATS, format_of, write

HEIGHT, WIDTH = 32, 48


def frames(count: int) -> list[np.ndarray]:
    """A white bar that moves over grey."""
    pictures = np.full((count, HEIGHT, WIDTH, 3), 60, np.uint8)
    for i in range(count):
        pictures[i, :, 4 * i : 4 * i + 4] = 250
    return list(pictures)


def bar(picture: np.ndarray) -> int:
    return int(picture.astype(float).mean(axis=(0, 2)).argmax()) // 4


@pytest.mark.parametrize(
    ("suffix", "fps", "stride", "rate"),
    [(".mp4", None, 2, 30.0), (".mp4", 60.0, 1, 60.0), (".mp4", 7.0, 9, 60 / 9), (".gif", None, 3, 20.0)],
)
def test_frames_are_chosen_so_that_motion_keeps_its_pace(suffix, fps, stride, rate):
    indices, shown = FORMATS[suffix].choose(61, 1 / 60, fps)
    assert indices == list(range(0, 61, stride))
    assert shown == pytest.approx(rate)


def test_a_sheet_shows_the_first_and_the_last_state():
    assert FORMATS[".png"].choose(45, 1 / 60, None)[0] == list(range(0, 45, 4))
    assert FORMATS[".png"].choose(3, 1 / 60, None)[0] == [0, 1, 2]


def test_gif(tmp_path: Path):
    write(tmp_path / "a.gif", frames(5), 20.0)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 5
        assert image.info["duration"] == 50
        for i in range(5):
            image.seek(i)
            assert bar(np.asarray(image.convert("RGB"))) == i


def test_mp4(tmp_path: Path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    write(tmp_path / "a.mp4", frames(5), 30.0)
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "a.mp4"))
    facts = next(reader)
    assert facts["size"] == (WIDTH, HEIGHT)
    assert facts["fps"] == 30.0
    assert facts["codec"] == "h264"
    pictures = [np.frombuffer(data, np.uint8).reshape(HEIGHT, WIDTH, 3) for data in reader]
    assert [bar(picture) for picture in pictures] == [0, 1, 2, 3, 4]


def test_sheet(tmp_path: Path):
    write(tmp_path / "a.png", frames(6), 0.0)
    sheet = np.asarray(Image.open(tmp_path / "a.png"))
    assert sheet.shape == (2 * HEIGHT + 4, 4 * WIDTH + 3 * 4, 3)
    for i in range(6):
        top, left = i // 4 * (HEIGHT + 4), i % 4 * (WIDTH + 4)
        assert bar(sheet[top : top + HEIGHT, left : left + WIDTH]) == i


def test_nothing_half_written_stays_behind(tmp_path: Path):
    def broken():
        yield frames(1)[0]
        raise RuntimeError("the picture fell off the wall")

    (tmp_path / "a.mp4").write_text("older")
    for name in ("a.mp4", "a.gif", "a.png"):
        with pytest.raises(RuntimeError, match="wall"):
            write(tmp_path / name, broken(), 30.0)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_text() == "older"


def test_bad_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match=r"unknown suffix of --out '.mp3': did you mean '.mp4'"):
        format_of(tmp_path / "a.mp3")
    with pytest.raises(UsageError, match="nowhere is not a folder that can be written"):
        format_of(tmp_path / "nowhere" / "a.mp4")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "imageio_ffmpeg" else 1)
    with pytest.raises(UsageError, match=r"needs imageio-ffmpeg: pip install 'pwm-bench\[render\]'"):
        format_of(tmp_path / "a.mp4")
    assert format_of(tmp_path / "a.GIF") is FORMATS[".gif"]
