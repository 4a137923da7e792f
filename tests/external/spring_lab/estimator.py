"""A gradient estimator of one's own: differences of returns along directions of one length."""

from pwm_bench.gradients.estimators import paired_slopes
from pwm_bench.gradients.moments import Moments
from pwm_bench.gradients.offered import Estimator


class Spherical(Estimator):
    """Evolution strategies with the length of the directions taken out: E[D w w' / |w|^2] = 1, with less variance."""

    label, short_label = "spherical smoothing", "spherical"
    needs = frozenset({"noise"})
    loops = ("open",)
    least_samples = 2

    def estimate(self, scene, others, progress, note):
        problem, spec = scene.problem, scene.spec
        size = {h: problem.control.size(h) for h in problem.horizons}
        moments = {h: Moments(problem.states, size[h], problem.theta) for h in problem.horizons}
        for index, directions, slopes in paired_slopes(
            scene.world, problem, spec.samples, deviation=spec.noise, stream=7, progress=progress
        ):
            for slope, h in zip(slopes, problem.horizons, strict=True):
                w = directions[:, : size[h]]
                moments[h].add(index, slope.unsqueeze(1) * w * size[h] / w.square().sum(1, keepdim=True))
        return {h: found.estimate(rollouts=2) for h, found in moments.items()}
