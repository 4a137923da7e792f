"""Ball and wall: a ball is thrown at an angle and should fly far, but a wall may stop it.

With launch angle theta, speed v, horizontal acceleration a, gravity g < 0, and flight time t,

    x(theta) = v cos(theta) t + a t^2 / 2
    T(theta) = (-v cos(theta) + sqrt(v^2 cos(theta)^2 + k a w)) / a          time at which the wall is met
    y(theta) = v sin(theta) T + g T^2 / 2                                    height there
    J(theta) = -w      if T < t and y < h,   else  -x(theta)

J is to be minimised. It jumps at the angle theta* where y = h: above it the ball clears the wall, and J(theta*) is also
the global minimum; below it there is a plateau, J = -w, without a slope.

The wall at x = w is met when a T^2 / 2 + v cos(theta) T = w, which is k = 2. The published script has k = 1: it asks
for the height at half the distance to the wall, so its jump lies elsewhere, and a second, small one appears at
cos(theta) = (w / 2 - a t^2 / 2) / (v t), where J steps from -w / 2 to -w. Both are offered.

Source: Georgiev et al., "PWM: Policy Learning with Multi-Task World Models", 2024, and the script that came with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pwm_bench.envs.errors import unknown

__all__ = ["VARIANTS", "BallWall", "variant"]


@dataclass(frozen=True, kw_only=True, slots=True)
class BallWall:
    """The problem's constants, those of the published script by default."""

    speed: float = 10.0
    """v [m/s]."""
    acceleration: float = 1.0
    """a [m/s^2]."""
    time: float = 2.0
    """t [s]."""
    wall: float = 5.0
    """w, distance of the wall [m]."""
    height: float = 0.0
    """h, of the wall above the launch [m]."""
    gravity: float = -9.81
    """g [m/s^2]."""
    factor: float = 1.0
    """k; 1 as published, 2 for the wall to be where it is said to be."""

    def clearance(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """T and y - h."""
        along = self.speed * torch.cos(theta)
        meets = (torch.sqrt(along.square() + self.factor * self.acceleration * self.wall) - along) / self.acceleration
        return meets, self.speed * torch.sin(theta) * meets + 0.5 * self.gravity * meets.square() - self.height

    def stopped(self, theta: Tensor) -> Tensor:
        """Whether the wall stops the ball."""
        meets, clearance = self.clearance(theta)
        return (meets < self.time) & (clearance < 0.0)

    def value(self, theta: Tensor) -> Tensor:
        """J(theta) [m]."""
        reach = self.speed * torch.cos(theta) * self.time + 0.5 * self.acceleration * self.time**2
        return -torch.where(self.stopped(theta), self.wall, reach)

    def gradient(self, theta: Tensor) -> Tensor:
        """dJ/dtheta where it exists: v t sin(theta), or 0 on the plateau. It knows nothing of the jump."""
        return torch.where(self.stopped(theta), 0.0, self.speed * self.time * torch.sin(theta))

    def jump(self) -> float:
        """theta*, the smallest angle in [0, pi/2] that clears the wall, by bisection [rad]."""
        low, high = 0.0, 0.5 * math.pi
        for _ in range(80):
            middle = 0.5 * (low + high)
            if middle in (low, high):
                break
            if bool(self.stopped(torch.tensor(middle, dtype=torch.float64))):
                low = middle
            else:
                high = middle
        return high

    def optimum(self) -> float:
        """J(theta*), the global minimum: x falls with the angle beyond it [m]."""
        return float(self.value(torch.tensor(self.jump(), dtype=torch.float64)))

    def smoothed(self, theta: Tensor, deviation: float, *, points: int = 2001) -> Tensor:
        """E J(theta + s w), w ~ N(0, 1), by the trapezoidal rule over +-6 s."""
        w = torch.linspace(-6.0, 6.0, points, dtype=torch.float64)
        weight = torch.exp(-0.5 * w.square())
        return (self.value(theta.double().unsqueeze(-1) + deviation * w) * (weight / weight.sum())).sum(-1)


VARIANTS = {"released": BallWall(), "corrected": BallWall(factor=2.0)}
"""The landscape as published, and with the wall where it is said to be."""


def variant(name: str) -> BallWall:
    """Looks a landscape up by name."""
    if name not in VARIANTS:
        raise unknown("landscape", name, VARIANTS)
    return VARIANTS[name]
