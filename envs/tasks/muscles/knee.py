"""Muscles that cross the knee: thigh, popliteus, gastrocnemius and plantaris.

Paths follow Delp et al. 1990, forces and fibre lengths Arnold et al. 2010 (see `pwm_bench.envs.tasks.muscles.hip`);
popliteus is after Friederich and Brand 1990 and plantaris after Klein Horsman et al. 2007 (Clin. Biomech. 22:239) at 25
N/cm^2. The patella is a fixed point of the tibia, and the quadriceps pass in front of the femur above it: their moment
arm falls from 46 mm in extension to 26 mm at 90 degrees. A point behind the tibia keeps gastrocnemius off the condyles.
"""

from __future__ import annotations

from pwm_bench.envs.tasks.muscles.table import muscle

__all__ = ["KNEE"]

KNEE = (
    muscle("gracilis", 137, 228, 8, "P -74 28 -119, T -27 -38 -32, T 6 -23 -84"),
    muscle("tensor_fasciae_latae", 155, 95, 3, "P -31 124 21, F 29 60 -100, F 5 36 -395, T 6 30 -49"),
    muscle("sartorius", 114, 403, 1, "P -15 124 -1, F -3 -42 -357, T -6 -40 -42, T 24 -25 -84"),
    muscle("rectus_femoris", 849, 76, 14, "P -30 97 -31, F 38 3 -372, T 46 1 10, T 36 0 -57"),
    muscle("vastus_medialis_1", 722, 97, 30, "F 14 19 -210, F 36 1 -277, F 38 -9 -371, T 46 -4 10, T 36 0 -57"),
    muscle("vastus_medialis_2", 722, 97, 30, "F 12 -16 -300, F 37 -17 -368, T 45 -8 11, T 36 0 -57"),
    muscle("vastus_intermedius", 1024, 99, 5, "F 29 31 -192, F 38 6 -372, T 46 2 10, T 36 0 -57"),
    muscle("vastus_lateralis_1", 1128, 99, 18, "F 5 35 -185, F 27 41 -259, F 38 14 -371, T 46 5 10, T 36 0 -57"),
    muscle("vastus_lateralis_2", 1128, 99, 18, "F -2 42 -120, F 24 44 -230, F 37 17 -370, T 45 7 11, T 36 0 -57"),
    muscle("semimembranosus", 1163, 69, 15, "P -119 72 -97, T -30 -19 -36, T -25 -20 -48"),
    muscle("semitendinosus", 302, 193, 13, "P -126 60 -110, T -38 -23 -38, T -11 -25 -75, T 3 -19 -96"),
    muscle("biceps_femoris_long", 705, 98, 12, "P -126 69 -103, T -30 29 -36, T -23 34 -56"),
    muscle("biceps_femoris_short", 316, 110, 12, "F 5 23 -211, T -30 29 -36, T -23 34 -56"),
    muscle("popliteus", 198, 31, 0, "F -2 36 -398, T -32 20 -18, T -20 -5 -72"),
    muscle("plantaris", 60, 45, 10, "F -17 29 -381, T -31 22 -125, A -47 -3 -12"),
    muscle("gastrocnemius_medialis", 1308, 51, 10, "F -18 -25 -382, T -32 -20 -130, A -49 2 -11"),
    muscle("gastrocnemius_lateralis", 606, 59, 12, "F -18 27 -382, T -31 20 -130, A -49 4 -11"),
)
