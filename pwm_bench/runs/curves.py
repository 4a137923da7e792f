"""Curves for tensorboard, for those who ask for them."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.schema import Counts

__all__ = ["CurveWriter"]


class CurveWriter:
    """Writes scalars per seed; does nothing without a folder.

    It writes at once and without tensorboard's own thread, so that a full disk is the caller's to hear of.

    Args:
        folder: where the event files go; None writes nothing and imports nothing.
        unit: what the horizontal axis counts, a field of `Counts`.
        counts: from there on points of an earlier attempt are dropped.

    Raises:
        UsageError: tensorboard is not installed.
        OSError: the folder or the file cannot be written; of `add` and `close`, too.
    """

    def __init__(self, folder: Path | None = None, *, unit: str = "env_steps", counts: Counts | None = None) -> None:
        self._writer: Any = None
        self._unit = unit
        if folder is None:
            return
        try:
            from tensorboard.compat.proto.event_pb2 import SessionLog
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError:
            raise UsageError("--tensorboard: tensorboard is not installed; pip install tensorboard") from None
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() // 1000}.{socket.gethostname()}.{os.getpid()}"
        self._writer = RecordWriter((folder / name).open("xb"))
        self._write(file_version="brain.Event:2")
        self._write(step=self._at(counts or Counts()), session_log=SessionLog(status=SessionLog.START))
        self._writer.flush()

    def add(self, name: str, values: Sequence[float | None], members: Sequence[str], counts: Counts) -> None:
        """Adds one point to the curve of each member; values that are not finite are left out."""
        if self._writer is None:
            return
        from tensorboard.compat.proto.summary_pb2 import Summary

        for member, value in zip(members, values, strict=True):
            if value is not None and math.isfinite(value):
                point = Summary.Value(tag=f"{name}/{member}", simple_value=value)
                self._write(step=self._at(counts), summary=Summary(value=[point]))
        self._writer.flush()

    def close(self) -> None:
        """Flushes and closes the files."""
        if self._writer is not None:
            self._writer.close()

    def _write(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.write(Event(wall_time=time.time(), **fields).SerializeToString())

    def _at(self, counts: Counts) -> int:
        return getattr(counts, self._unit)
