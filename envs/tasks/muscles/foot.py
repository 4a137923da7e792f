"""Intrinsic muscles of the foot, which act on the toes alone.

Forces are the physiological cross-sections of Kura et al. 1997 (Anat. Rec. 249:143) at 25 N/cm^2, fibre lengths
likewise, rounded; muscles of neighbouring toes are lumped, since toes two to five are one body. The paths are our own,
laid along the metatarsals from the anatomical attachments.
"""

from __future__ import annotations

from pwm_bench.envs.tasks.muscles.table import muscle

__all__ = ["FOOT"]

FOOT = (
    muscle("abductor_hallucis", 167, 23, 0, "A -38 -14 -58, A 50 -30 -50, A 118 -32 -57, H 142 -29 -57"),
    muscle("flexor_hallucis_brevis_1", 45, 18, 0, "A 60 -8 -48, A 118 -24 -60, H 142 -23 -59"),
    muscle("flexor_hallucis_brevis_2", 53, 17, 0, "A 58 0 -48, A 118 -11 -60, H 142 -12 -59"),
    muscle("adductor_hallucis_1", 124, 19, 0, "A 60 18 -52, A 118 -6 -59, H 141 -9 -58"),
    muscle("adductor_hallucis_2", 28, 19, 0, "A 106 32 -56, A 120 -2 -57, H 140 -8 -57"),
    muscle("flexor_digitorum_brevis_1", 37, 25, 0, "A -38 -2 -62, A 108 8 -60, L 136 11 -60"),
    muscle("flexor_digitorum_brevis_2", 37, 25, 0, "A -38 1 -62, A 106 18 -60, L 134 20 -60"),
    muscle("flexor_digitorum_brevis_3", 37, 25, 0, "A -38 4 -62, A 104 29 -60, L 131 30 -60"),
    muscle("quadratus_plantae", 74, 27, 0, "A -30 1 -52, A 40 4 -50, A 106 21 -59, L 134 25 -59"),
    muscle("abductor_digiti_minimi", 95, 24, 0, "A -38 11 -60, A 60 44 -58, A 104 44 -57, L 128 43 -57"),
    muscle("flexor_digiti_minimi_brevis", 52, 18, 0, "A 50 36 -50, A 104 40 -59, L 128 40 -58"),
    muscle("lumbricales_1", 15, 23, 0, "A 60 0 -50, A 108 9 -57, L 136 11 -56"),
    muscle("lumbricales_2", 15, 23, 0, "A 60 10 -50, A 104 29 -57, L 131 30 -56"),
    muscle("interossei_dorsales_1", 131, 16, 0, "A 70 4 -42, A 108 11 -54, L 136 12 -55"),
    muscle("interossei_dorsales_2", 131, 16, 0, "A 66 20 -42, A 104 28 -54, L 131 29 -55"),
    muscle("interossei_plantares_1", 60, 14, 0, "A 72 14 -46, A 106 20 -56, L 133 20 -56"),
    muscle("interossei_plantares_2", 60, 14, 0, "A 66 32 -46, A 102 37 -56, L 129 37 -56"),
    muscle("extensor_digitorum_brevis_1", 22, 27, 0, "A 0 25 -30, A 108 11 -37, L 136 12 -39"),
    muscle("extensor_digitorum_brevis_2", 22, 27, 0, "A 0 27 -30, A 104 28 -37, L 131 29 -39"),
    muscle("extensor_hallucis_brevis", 34, 28, 0, "A 2 22 -28, A 118 -12 -36, H 144 -13 -39"),
)
