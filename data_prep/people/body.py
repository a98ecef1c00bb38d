"""A walking body in three dimensions, seen from a direction.

Lengths are fractions of an average person's stature. A point is (x, y, z): x to the person's left, y down
from the crown of the head (the soles are at 1), z forwards. With yaw 0 the person faces the camera.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Pose:
    """`yaw`, radians: where the person faces; `stride`, −1 to 1: where in the step; `bend`: of the arms."""
    yaw: float
    stride: float
    bend: float


def joints(pose: Pose, girth: float) -> dict[str, np.ndarray]:
    """Return the points that parts hang from: "chin" and (name, side) along the limbs, side −1 and 1."""
    body = {"chin": np.array([0, .125, .01])}
    for side in (-1, 1):
        swing = side * pose.stride
        shoulder = np.array([side * .104 * (.6 + .4 * girth), .213, 0])
        elbow = shoulder + _down(.160, -.45 * swing, side * .16 * girth)
        hand = elbow + _down(.150, -.45 * swing + pose.bend, side * .03)
        hip = np.array([side * .048 * girth, .50, 0])
        knee = hip + _down(.235, .42 * swing + .12 * abs(swing), side * .02)
        ankle = knee + _down(.225, .42 * swing - .30 * max(0, -swing) - .10 * abs(swing), 0)
        toe = ankle + np.array([side * .01, .03, .07])
        body |= {("shoulder", side): shoulder, ("elbow", side): elbow, ("hand", side): hand,
                 ("hip", side): hip, ("knee", side): knee, ("ankle", side): ankle, ("toe", side): toe}
    return body


def _down(length: float, forwards: float, outwards: float) -> np.ndarray:
    """Return a bone that hangs down, turned forwards and outwards by angles in radians."""
    return length * np.array([np.sin(outwards), np.cos(forwards) * np.cos(outwards), np.sin(forwards)])


def project(point: ArrayLike, yaw: float) -> tuple[np.ndarray, float]:
    """Return a point's place in the picture plane, (x, y), and its nearness to the camera."""
    x, y, z = point
    return np.array([x * np.cos(yaw) + z * np.sin(yaw), y]), z * np.cos(yaw) - x * np.sin(yaw)


def breadth(width: float, depth: float, yaw: float) -> float:
    """Return the half-width at which an elliptic cylinder, such as a torso, is seen."""
    return float(np.hypot(width * np.cos(yaw), depth * np.sin(yaw)))
