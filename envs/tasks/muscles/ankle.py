"""Muscles of the shank that cross the ankle, and those that go on to the toes.

Paths follow Delp et al. 1990, forces and fibre lengths Arnold et al. 2010 (see `pwm_bench.envs.tasks.muscles.hip`);
fibularis tertius Delp et al. 1990. Toe tendons run about 10 mm below or above the joints of the toes.
"""

from __future__ import annotations

from pwm_bench.envs.tasks.muscles.table import muscle

__all__ = ["ANKLE"]

ANKLE = (
    muscle("soleus_1", 1793, 44, 28, "T -8 -12 -160, A -49 1 -12"),
    muscle("soleus_2", 1793, 44, 28, "T -6 20 -120, A -49 5 -12"),
    muscle("tibialis_posterior", 906, 38, 14, "T -9 2 -135, T -14 -23 -405, A -7 -21 -9, A 28 -20 -26"),
    muscle("tibialis_anterior", 674, 68, 10, "T 18 12 -162, T 33 -18 -395, A 68 -23 -24"),
    muscle(
        "flexor_digitorum_longus",
        274,
        45,
        14,
        "T -8 -2 -205, T -15 -20 -405, A -5 -20 -11, A 22 -18 -24, A 108 18 -58, L 134 24 -58, L 160 28 -60",
    ),
    muscle(
        "flexor_hallucis_longus",
        437,
        53,
        17,
        "T -8 24 -233, T -19 -17 -408, A -11 -16 -14, A 55 -18 -40, A 118 -18 -60, H 142 -18 -60, H 178 -14 -62",
    ),
    muscle(
        "extensor_digitorum_longus",
        345,
        69,
        11,
        "T 3 28 -138, T 29 7 -401, A 43 8 -3, A 108 20 -37, L 134 24 -39, L 160 28 -50",
    ),
    muscle(
        "extensor_hallucis_longus",
        165,
        75,
        9,
        "T 1 23 -177, T 33 -9 -399, A 48 -13 -3, A 118 -20 -35, H 144 -17 -38, H 178 -14 -50",
    ),
    muscle("fibularis_longus", 653, 51, 14, "T 1 36 -157, T -16 29 -430, A -5 30 -19, A 36 20 -35, A 72 -10 -34"),
    muscle("fibularis_brevis", 306, 45, 11, "T -7 33 -265, T -15 29 -428, A -2 31 -15, A 19 42 -20"),
    muscle("fibularis_tertius", 90, 79, 13, "T 1 23 -280, T 23 16 -407, A 37 38 -19"),
)
