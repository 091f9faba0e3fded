"""Landmarks of one short-axis slice from its labels: LV centre and the two RV insertions, in patient LPS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.series import SlicePose

# Apex -> base of an adult heart in LPS: to the right, back and up (the long axis points about 45 degrees left, 30 down)
MEAN_LONG_AXIS_LPS = np.array([-0.65, 0.60, 0.47])
# From the anterior to the inferior wall the heart runs down and a little back
MEAN_INFERIOR_LPS = np.array([0.0, 0.35, -0.94])
FINE_MM = 0.75  # labels are read on a grid of about this step, finer than any perfusion image
BINS = 180  # angular steps of 2 degrees around the LV
CONTACT_GAP_MM = 4.0  # RV blood within this distance of the epicardium touches it (RV side of septum, pixel size)
MAX_HOLE_DEG = 24.0  # a gap in the contact, such as a trabecula, that is bridged
MIN_SEPTUM_DEG = 25.0  # a shorter contact is no septum
MIN_CAVITY_MM2 = 30.0
MIN_RV_MM2 = 40.0


def base_side(normal_lps: NDArray[np.float64]) -> float:
    """+1 where a short-axis slice's normal points to the base by the usual lie of the heart, else -1."""
    return 1.0 if float(normal_lps @ MEAN_LONG_AXIS_LPS) >= 0 else -1.0


def canonical_axes(normal_lps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard short-axis axes of a slice plane in LPS, shape (3, 3), columns x, y, z.

    z is the normal towards the base, y (down in the picture) the inferior side, x = y × z the lateral side: the view
    of the heart frame, whatever way the image was stored. Only the plane counts, not the image's rows and columns.
    """
    z = np.asarray(normal_lps, dtype=float) * base_side(normal_lps)
    z = z / np.linalg.norm(z)
    down = MEAN_INFERIOR_LPS - (MEAN_INFERIOR_LPS @ z) * z
    if np.linalg.norm(down) < 0.2:  # a plane seen from above: no heart lies so, but an answer must exist
        down = np.array([0.0, 1.0, 0.0]) - z[1] * z
    y = down / np.linalg.norm(down)
    return np.stack([np.cross(y, z), y, z], axis=1)


def fine_masks(labels: NDArray[np.uint8], spacing_mm: tuple[float, float]) -> tuple[NDArray[np.bool_], float, float]:
    """Masks (3, y', x') of cavity, myocardium and RV on a finer grid, and its steps (x, y) in pixels of the input.

    The fine grid's pixel (i, j) lies at input pixel (i · step y, j · step x).
    """
    rows, columns = labels.shape
    steps = [min(FINE_MM / s, 1.0) for s in spacing_mm]
    yy = np.arange(0, rows - 1 + 1e-6, steps[1])
    xx = np.arange(0, columns - 1 + 1e-6, steps[0])
    grid = np.stack(np.meshgrid(yy, xx, indexing="ij"))
    soft = [
        ndimage.map_coordinates((labels == label).astype(np.float32), grid, order=1)
        for label in (Label.BACKGROUND, Label.LV_CAVITY, Label.MYOCARDIUM, Label.RV_CAVITY)
    ]
    winner = np.argmax(soft, axis=0)
    return np.stack([winner == k for k in (1, 2, 3)]), steps[0], steps[1]


def _contact_arc(
    lv: NDArray[np.float64], rv: NDArray[np.float64], centre: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The two ends (2,) mm of the stretch where RV points (n, 2) touch the LV's outline (m, 2), or None."""

    def polar(points: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        delta = points - centre
        angle = np.mod(np.arctan2(delta[:, 1], delta[:, 0]), 2 * np.pi)
        return (angle / (2 * np.pi) * BINS).astype(int) % BINS, np.hypot(delta[:, 0], delta[:, 1])

    outer = np.zeros(BINS)
    bins, radius = polar(lv)
    np.maximum.at(outer, bins, radius)
    known = np.flatnonzero(outer > 0)
    if len(known) < BINS // 2:
        return None
    outer = np.interp(np.arange(BINS), known, outer[known], period=BINS)
    outer = ndimage.median_filter(outer, 5, mode="wrap")
    inner = np.full(BINS, np.inf)
    bins, radius = polar(rv)
    np.minimum.at(inner, bins, radius)
    touching = inner - outer < CONTACT_GAP_MM
    if not touching.any() or touching.all():
        return None
    hole = round(MAX_HOLE_DEG / 360 * BINS)
    tripled = np.tile(touching, 3)
    closed = ndimage.binary_closing(tripled, np.ones(hole + 1))
    runs, count = ndimage.label(closed)
    best: tuple[int, int] | None = None
    for run in ndimage.find_objects(runs):
        start, stop = run[0].start, run[0].stop
        inside = BINS <= (start + stop) // 2 < 2 * BINS
        if inside and (best is None or stop - start > best[1] - best[0]):
            best = (start, stop)
    if best is None or best[1] - best[0] < MIN_SEPTUM_DEG / 360 * BINS or best[1] - best[0] > 0.75 * BINS:
        return None
    ends = []
    for edge in best:  # the run covers [start, stop): its edges are the bins' borders
        angle = edge / BINS * 2 * np.pi
        reach = float(np.interp(edge % BINS, np.arange(BINS) + 0.5, outer, period=BINS))
        ends.append(centre + reach * np.array([np.cos(angle), np.sin(angle)]))
    return ends[0], ends[1]


def plane_landmarks(
    cavity: NDArray[np.float64], wall: NDArray[np.float64], rv: NDArray[np.float64], pixel_mm2: float
) -> dict[str, NDArray[np.float64]]:
    """Landmarks in standard short-axis coordinates (x lateral, y inferior; mm) from pixel positions (n, 2).

    ``lv_centre``: centroid of the cavity, of cavity and wall where hardly any cavity is left (apex).
    ``rv_insertion_anterior``, ``rv_insertion_inferior``: ends of the RV's contact with the outline of the LV wall.
    The chirality decides which is which: seen from the apex, from the RV's middle to the LV is +x, so the anterior
    insertion lies on the −y side of that line. Works at any roll of the heart, given which side the base lies.
    """
    whole = np.concatenate([cavity, wall])
    if len(whole) * pixel_mm2 < MIN_CAVITY_MM2:
        return {}
    centre = (cavity if len(cavity) * pixel_mm2 >= MIN_CAVITY_MM2 else whole).mean(axis=0)
    found = {"lv_centre": centre}
    if len(rv) * pixel_mm2 < MIN_RV_MM2 or len(wall) * pixel_mm2 < MIN_CAVITY_MM2:
        return found
    ends = _contact_arc(whole, rv, whole.mean(axis=0))
    if ends is None:
        return found
    middle = (ends[0] + ends[1]) / 2
    lateral = whole.mean(axis=0) - rv.mean(axis=0)
    inferior = np.array([-lateral[1], lateral[0]])  # y = z × x with z towards the viewer's far side (x right, y down)
    first_is_anterior = float((ends[0] - middle) @ inferior) < 0
    found["rv_insertion_anterior"] = ends[0] if first_is_anterior else ends[1]
    found["rv_insertion_inferior"] = ends[1] if first_is_anterior else ends[0]
    return found


def slice_landmarks(labels: NDArray[np.uint8], pose: SlicePose) -> dict[str, NDArray[np.float64]]:
    """Landmarks (LPS mm) of one slice's labels (y, x) at its pose; a landmark that cannot be seen is absent."""
    masks, step_x, step_y = fine_masks(labels, pose.spacing_mm)
    axes = canonical_axes(pose.normal)

    def positions(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        rows, columns = np.nonzero(mask)
        lps = pose.points_lps(np.stack([columns * step_x, rows * step_y], axis=-1).astype(float))
        return lps @ axes[:, :2]

    area = step_x * pose.spacing_mm[0] * step_y * pose.spacing_mm[1]
    flat = plane_landmarks(positions(masks[0]), positions(masks[1]), positions(masks[2]), area)
    depth = float(np.asarray(pose.origin_mm) @ axes[:, 2])
    return {name: axes @ np.array([*point, depth]) for name, point in flat.items()}


def ring_facts(labels: NDArray[np.uint8], spacing_mm: tuple[float, float]) -> dict[str, float]:
    """Measures of one slice: areas in mm², mean wall thickness in mm, share of the cavity's outline under wall.

    Thickness is that of a round ring of the same areas.
    """
    pixel = spacing_mm[0] * spacing_mm[1]
    cavity = labels == Label.LV_CAVITY
    wall = labels == Label.MYOCARDIUM
    cavity_mm2, wall_mm2 = cavity.sum() * pixel, wall.sum() * pixel
    shell = ndimage.binary_dilation(cavity, np.ones((3, 3))) & ~cavity
    closed = float(wall[shell].mean()) if shell.any() else 1.0
    thickness = np.sqrt((cavity_mm2 + wall_mm2) / np.pi) - np.sqrt(cavity_mm2 / np.pi)
    rv = float((labels == Label.RV_CAVITY).sum() * pixel)
    return {"cavity_mm2": cavity_mm2, "wall_mm2": wall_mm2, "rv_mm2": rv, "thickness_mm": thickness, "closed": closed}
