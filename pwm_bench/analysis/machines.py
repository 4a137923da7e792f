"""Whether processor seconds of different runs compare: of the same processor at the same number of threads."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pwm_bench.envs.errors import UsageError

__all__ = ["check_machines", "seeds_note"]

_SLOWER = 1.5  # calibrations of one machine that differ by more were made while it was not the same machine
_REMEDY = "match by env_steps or gradient_steps, or insist with --across-machines (the table then says what it mixes)"


def check_machines(frame: pd.DataFrame, *, insist: bool = False) -> str:
    """What a table that is matched by processor seconds must say of the machines.

    Args:
        frame: members, with ``machine`` (processor or GPU, and threads), ``earlier_machines`` of resumed runs,
            ``device`` and ``calibration_seconds``.
        insist: say it instead of refusing.

    Raises:
        UsageError: processor seconds were not recorded; or they do not compare, unless ``insist``.
    """
    trained = [curve for curve in frame["curve_cpu_seconds"] if len(curve)] if len(frame) else []
    if trained and all(np.isnan(curve).any() for curve in trained):
        raise UsageError("match=cpu_seconds: no run has recorded processor seconds; match by env_steps, or run again")
    if len(frame) and frame["gpu"].any() and not insist:
        raise UsageError(f"match=cpu_seconds: a GPU's work is not in the processor seconds of its runs; {_REMEDY}")
    named = [*frame["machine"], *frame["earlier_machines"]] if len(frame) else []
    machines = sorted({machine for text in named for machine in text.split("; ") if machine})
    calibrations = frame["calibration_seconds"].dropna() if len(frame) else pd.Series(dtype=float)
    spread = ""
    if len(calibrations):
        least, most = float(calibrations.min()), float(calibrations.max())
        spread = f" The calibration took {least:.3g} to {most:.3g} processor seconds." if most > least else ""
        spread = spread or f" The calibration took {least:.3g} processor seconds."
        if len(machines) == 1 and most > _SLOWER * least:
            reason = f"{machines[0]} was {most / least:.1f} times slower in some runs than in others"
            if not insist:
                raise UsageError(f"match=cpu_seconds: {reason}; {_REMEDY}")
            return f"Processor seconds do not compare: {reason}.{spread}"
    if len(machines) > 1:
        if not insist:
            raise UsageError(
                f"match=cpu_seconds: the runs come from different machines ({'; '.join(machines)}); {_REMEDY}"
            )
        return f"Processor seconds of different machines do not compare: {'; '.join(machines)}.{spread}"
    return f"Processor seconds on {machines[0]}.{spread}" if machines else ""


def seeds_note(frame: pd.DataFrame) -> str:
    """What must be said where runs train different numbers of seeds together; empty where they do not.

    Args:
        frame: members, with ``seeds_together``.
    """
    numbers = sorted(frame["seeds_together"].unique()) if len(frame) else []
    if len(numbers) < 2:
        return ""
    return (
        f"Runs train {' or '.join(map(str, numbers))} seeds together, and a seed has its share of the processor "
        "seconds of its run, which mostly falls with their number."
    )
