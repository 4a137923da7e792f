"""Muscles that cross the hip only: gluteals, deep rotators, hip flexors and adductors.

Paths follow Delp et al. 1990 (IEEE Trans. Biomed. Eng. 37:757), rounded to the millimetre, with conditional and
wrapping points left out or replaced by fixed ones. Forces and fibre lengths follow Arnold et al. 2010 (Ann. Biomed.
Eng. 38:269; fibre lengths of Ward et al. 2009, Clin. Orthop. Relat. Res. 467:1074); pectineus, quadratus femoris and
gemelli Delp et al. 1990; obturators from the cross-sections of Friederich and Brand 1990 (J. Biomech. 23:91) at
25 N/cm^2. Compartments beyond Delp's share their muscle's force equally.
How far the figures were checked against the papers is said in docs/tasks.md.
"""

from __future__ import annotations

from pwm_bench.envs.tasks.muscles.table import muscle

__all__ = ["HIP"]

HIP = (
    muscle("gluteus_maximus_1", 546, 147, 21, "P -120 70 61, P -129 89 1, F -46 39 -25, F -28 47 -57"),
    muscle("gluteus_maximus_2", 780, 157, 22, "P -135 56 18, P -138 91 -52, F -43 29 -53, F -16 42 -102"),
    muscle("gluteus_maximus_3", 526, 167, 22, "P -156 16 -31, P -153 50 -105, F -30 20 -104, F -6 41 -142"),
    muscle("gluteus_medius_1", 881, 73, 20, "P -41 121 30, F -22 56 -12"),
    muscle("gluteus_medius_2", 616, 73, 20, "P -86 77 45, F -26 53 -6"),
    muscle("gluteus_medius_3", 702, 73, 20, "P -122 65 11, F -31 52 -5"),
    muscle("gluteus_minimus_1", 180, 68, 10, "P -47 106 -8, F -7 56 -10"),
    muscle("gluteus_minimus_2", 190, 56, 0, "P -63 99 -7, F -10 56 -10"),
    muscle("gluteus_minimus_3", 215, 38, 1, "P -83 86 -6, F -14 55 -8"),
    muscle("piriformis", 296, 26, 10, "P -140 24 0, P -119 66 -28, F -15 44 -4"),
    muscle("obturator_internus_1", 113, 42, 0, "P -75 38 -80, P -125 58 -72, F -14 44 -4"),
    muscle("obturator_internus_2", 113, 42, 0, "P -70 32 -105, P -125 57 -76, F -14 44 -4"),
    muscle("obturator_externus", 68, 30, 0, "P -64 30 -105, F -24 14 -22, F -20 38 -8"),
    muscle("gemellus_superior", 53, 24, 0, "P -116 66 -68, F -14 44 -2"),
    muscle("gemellus_inferior", 109, 24, 0, "P -113 71 -82, F -14 44 -4"),
    muscle("quadratus_femoris", 254, 54, 0, "P -114 52 -115, F -38 37 -36"),
    muscle("iliacus_1", 311, 107, 14, "P -67 85 37, P -26 81 -55, F 2 6 -54, F -19 13 -62"),
    muscle("iliacus_2", 311, 107, 14, "P -95 68 28, P -29 76 -57, F 2 5 -56, F -19 13 -66"),
    muscle("psoas_major_1", 240, 117, 11, "P -65 29 89, P -24 76 -57, F 2 4 -51, F -19 10 -60"),
    muscle("psoas_major_2", 240, 117, 11, "P -80 24 62, P -27 72 -58, F 1 4 -53, F -19 10 -62"),
    muscle("pectineus", 177, 100, 0, "P -43 45 -77, F -12 25 -82"),
    muscle("adductor_longus", 400, 108, 7, "P -32 17 -84, F 5 23 -211"),
    muscle("adductor_brevis_1", 152, 103, 6, "P -59 16 -90, F -2 30 -100"),
    muscle("adductor_brevis_2", 152, 103, 6, "P -58 16 -94, F 3 27 -138"),
    muscle("adductor_magnus_1", 324, 106, 5, "P -73 26 -117, F -5 34 -121"),
    muscle("adductor_magnus_2", 324, 138, 5, "P -83 31 -119, F 5 23 -229"),
    muscle("adductor_magnus_3", 324, 177, 5, "P -95 38 -118, F 8 4 -310"),
    muscle("adductor_magnus_4", 324, 156, 5, "P -111 49 -114, F 7 -27 -384"),
)
