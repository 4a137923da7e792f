"""Finished runs of a study that other code or other packages made: keep them, do them again, or refuse to go on."""

from __future__ import annotations

from collections.abc import Sequence

from pwm_bench.envs.errors import UsageError
from pwm_bench.store.results import FINISHED, Results
from pwm_bench.sweeps.graph import Study
from pwm_bench.sweeps.sweep import Item, plan

__all__ = ["POLICIES", "settle_stale", "stale_runs"]

POLICIES = ("keep", "rerun", "refuse")


def settle_stale(study: Study, results: Results, policy: str) -> str:
    """Does with stale runs what the policy says, before a sweep plans its work.

    Args:
        study: the runs.
        results: where they are.
        policy: one of `POLICIES`; ``rerun`` sets the stale runs aside, so that they are begun anew.

    Returns:
        What there is to say of them; empty if there are none.

    Raises:
        UsageError: there are some, and the policy is to refuse; or one cannot be set aside.
    """
    items = plan(study, results)
    found = stale_runs(items, results)
    if not found:
        return ""
    number = f"{len(found)} finished run{'s' if len(found) != 1 else ''} of this study"
    why = "; ".join(sorted(set(found.values())))
    if policy == "refuse":
        raise UsageError(
            f"--stale refuse: {number} ({', '.join(list(found)[:5])}) made by other code or packages ({why}); give "
            "--stale keep or --stale rerun"
        )
    if policy == "rerun":
        stale = {item.spec.id: item.spec.study for item in items if item.status in FINISHED and item.spec.id in found}
        folders = {results.set_aside(folder, run_id).parent for run_id, folder in stale.items()}
        return f"{number} by other code or packages ({why}) set aside, in {' and '.join(map(str, sorted(folders)))}."
    return f"{number} made by other code or packages ({why}) kept; --stale rerun does them again."


def stale_runs(items: Sequence[Item], results: Results) -> dict[str, str]:
    """The finished runs among these that other code or packages made.

    Args:
        items: as `pwm_bench.sweeps.sweep.plan` finds them.
        results: where the runs are.

    Returns:
        Id -> in what its code or packages differ from those here.
    """
    from pwm_bench.store.origin import differences

    found = {}
    for item in items:
        if item.status in FINISHED:
            directory = results.run(item.spec.study, item.spec.id)
            try:
                found[item.spec.id] = differences(directory.read().provenance)
            except UsageError:
                continue  # damaged: the sweep says so
    return {run_id: why for run_id, why in found.items() if why}
