"""A real CT's segmented heart as something an MR scanner can image: tissues from labels and HU, flow by territory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from CardiacFusionLib.spatial.aha import AHA_TERRITORY, insertion_angle_deg, segments
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import HeartPose
from CardiacFusionLib.spatial.resample import sample
from CardiacFusionLib.spatial.tree import CoronaryTree
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.twin.flow.field import COLLATERAL_RIM_MM, Reserve, reserve_share, rest_share, vessel_of
from CardiacFusionLib.twin.heart.anatomy import Heart
from CardiacFusionLib.twin.heart.tissues import TISSUE_TO_LABEL, Tissue

Array = NDArray[np.float64]

LABEL_TISSUE = {
    Label.LV_CAVITY: Tissue.LV_CAVITY,
    Label.MYOCARDIUM: Tissue.MYOCARDIUM,
    Label.RV_CAVITY: Tissue.RV_CAVITY,
    Label.LEFT_ATRIUM: Tissue.LEFT_ATRIUM,
    Label.RIGHT_ATRIUM: Tissue.RIGHT_ATRIUM,
    Label.AORTA: Tissue.AORTA,
    Label.PULMONARY_TRUNK: Tissue.PULMONARY_TRUNK,
}
# upper HU limits of what lies around the labelled heart; above the last one: bone, or blood like the ventricle's
HU_CLASSES = (
    (-900.0, Tissue.AIR),
    (-300.0, Tissue.LUNG),
    (-25.0, Tissue.MEDIASTINAL_FAT),
    (75.0, Tissue.MUSCLE),
    (220.0, Tissue.LIVER),
    (np.inf, Tissue.BONE_MARROW),
)
BLOOD_SPREAD = 0.3  # of the left ventricle's HU: brighter or darker is bone
VESSEL_CORE_MM = 3.0  # thinner bright things are bone or small vessels
RV_WALL_MM = 2.5
# what of the synthetic chest must not stand beside the real heart
_CARDIAC = [
    int(t)
    for t in Tissue
    if TISSUE_TO_LABEL[t] > 0 or "VALVE" in t.name or t in (Tissue.RV_WALL, Tissue.SUPERIOR_CAVA, Tissue.PULMONARY_VEIN)
]
ISCHAEMIC_STENOSIS_PERCENT = 85.0


@dataclass(frozen=True)
class CtScene:
    """A ``Scene`` made of a label volume (and, where given, its CT); points are in the heart frame of ``pose``."""

    labels: Volume
    pose: HeartPose
    surroundings: Volume | None  # ``Tissue`` codes read from the CT, see :func:`tissues_of_ct`
    chest: Heart  # a synthetic chest for what the CT does not show
    flow: dict[str, Volume]  # MBF by state on the labels' grid, continued beyond the wall
    rv_wall: Volume  # 1 where the thin wall of the right ventricle lies
    reserve: Reserve

    def tissue(self, points_heart_mm: Array) -> NDArray[np.uint8]:
        """``Tissue`` codes at heart-frame points (n, 3)."""
        lps = self.pose.to_lps(points_heart_mm)
        codes = self.chest.tissue(points_heart_mm)
        codes[np.isin(codes, _CARDIAC)] = Tissue.HEART_FAT
        if self.surroundings is not None:
            seen = sample(self.surroundings, lps, order=0, outside=-1.0)
            codes[seen >= 0] = seen[seen >= 0].astype(np.uint8)
        codes[sample(self.rv_wall, lps, order=0) > 0] = Tissue.RV_WALL
        found = sample(self.labels, lps, order=0).astype(np.uint8)
        for label, tissue in LABEL_TISSUE.items():
            codes[found == label] = tissue
        return codes

    def mbf(self, points_heart_mm: Array, state: str) -> Array:
        """MBF painted at wall points (n, 3), mL/min/g."""
        return sample(self.flow[state], self.pose.to_lps(points_heart_mm)).astype(float)

    def muscle_mbf(self, state: str) -> float:
        """Mean MBF of healthy muscle."""
        return self.reserve.stress if state == "stress" else self.reserve.rest


@dataclass(frozen=True)
class WallGeometry:
    """The labelled wall's voxels: ``index`` (3, n) into the grid, coordinates as in ``Heart.wall_coordinates``."""

    index: tuple[NDArray[np.intp], ...]
    points_heart_mm: Array
    depth: Array
    angle_deg: Array
    level: Array
    tip_z_mm: float
    base_z_mm: float
    anterior_deg: float
    septum_deg: float


def wall_geometry(labels: Volume, pose: HeartPose) -> WallGeometry:
    """Where every wall voxel lies in the ventricle. Raises BadInputError where there is no cavity or no wall."""
    cavity, wall = labels.array == Label.LV_CAVITY, labels.array == Label.MYOCARDIUM
    if cavity.sum() * labels.voxel_volume_ml < 10 or wall.sum() * labels.voxel_volume_ml < 10:
        raise BadInputError(
            "The CT walls hold no left ventricle (less than 10 ml of cavity or muscle); run 'cardiacfusion segment' on "
            "the CT first, or correct the walls."
        )
    spacing = labels.spacing_mm[::-1]
    inner = ndimage.distance_transform_edt(~cavity, sampling=spacing)
    outer = ndimage.distance_transform_edt(cavity | wall, sampling=spacing)
    grid = pose.to_heart(labels.grid_lps())
    blood = grid[cavity]
    tip, top = np.percentile(blood[:, 2], [0.5, 99.5])
    base = float(pose.to_heart(pose.landmarks["base"])[2]) if "base" in pose.landmarks else float(top)
    base = float(np.clip(base, tip + 30.0, max(top, tip + 31.0)))

    heights = np.arange(tip, top, 2.0)
    centres = np.array([blood[np.abs(blood[:, 2] - z) < 3.0][:, :2].mean(axis=0) for z in heights])
    centres = ndimage.gaussian_filter1d(centres, 2.0, axis=0, mode="nearest")
    index = np.nonzero(wall)
    points = grid[index]
    centre = np.stack([np.interp(points[:, 2], heights, c) for c in centres.T], axis=1)
    from_centre = points - np.concatenate([centre, np.zeros((len(points), 1))], axis=1)
    depth = inner[index] / np.maximum(inner[index] + outer[index], 1e-6)
    anterior, inferior = _insertions(pose, heights, centres)
    return WallGeometry(
        index,
        points,
        depth,
        insertion_angle_deg(from_centre),
        (points[:, 2] - tip) / (base - tip),
        float(tip),
        base,
        anterior,
        float(np.mod(inferior - anterior, 360.0)),
    )


def territory_share(
    geometry: WallGeometry, tree: CoronaryTree | None, pose: HeartPose, vessel: str
) -> tuple[Array, str]:
    """How much each wall voxel (n,) belongs to ``vessel`` (0..1, soft border), and whether "tree" or "aha" says so."""
    points = geometry.points_heart_mm
    if tree is not None and tree.frame == "lps":
        tree = tree.transformed(pose.lps_to_heart, "heart")
    mine, others = _branch_points(tree, vessel)
    if mine is not None and others is not None:
        difference = cKDTree(others).query(points)[0] - cKDTree(mine).query(points)[0]
        return _soft(difference), "tree"
    number = segments(geometry.angle_deg, np.clip(geometry.level, 0.0, 1.0), geometry.anterior_deg, geometry.septum_deg)
    inside = np.isin(number, [n for n, v in AHA_TERRITORY.items() if v == vessel])
    if inside.all() or not inside.any():
        return inside.astype(float), "aha"
    difference = cKDTree(points[~inside]).query(points)[0] - cKDTree(points[inside]).query(points)[0]
    return _soft(difference), "aha"


def flow_volumes(labels: Volume, geometry: WallGeometry, share: Array, reserve: Reserve) -> dict[str, Volume]:
    """True MBF by state on the labels' grid; beyond the wall the nearest wall voxel's value goes on."""
    layer = 0.5 - np.clip(geometry.depth, 0.0, 1.0)
    texture = 1.0 + np.sin(geometry.points_heart_mm @ reserve.waves.T + reserve.phases) @ reserve.amplitudes
    left = 1.0 - share * (1.0 - float(reserve_share(ISCHAEMIC_STENOSIS_PERCENT)))
    rest = reserve.rest * (1.0 - share * (1.0 - float(rest_share(ISCHAEMIC_STENOSIS_PERCENT))))
    loss = (1.0 - left) * (1.12 - 0.3 * np.clip(geometry.depth, 0.0, 1.0))
    stress = rest + (reserve.stress - reserve.rest) * (1.0 - loss)
    volumes = {}
    for state, value, gradient in (
        ("stress", stress, reserve.endo_epi_stress),
        ("rest", rest, reserve.endo_epi_rest),
    ):
        slope = 2.0 * (gradient - 1.0) / (gradient + 1.0)
        array = np.zeros(labels.array.shape, np.float32)
        array[geometry.index] = np.maximum(value, 0.15) * (1.0 + slope * layer) * texture
        _, nearest = ndimage.distance_transform_edt(array == 0, return_indices=True)
        volumes[state] = labels.with_array(array[tuple(nearest)])
    return volumes


def tissues_of_ct(ct: Volume, labels: Volume) -> Volume:
    """``Tissue`` codes (uint8) for every voxel of a contrast-enhanced CT by HU; large bright bodies become blood."""
    values = sample(ct, labels.grid_lps()[labels.array == Label.LV_CAVITY])
    blood_hu = float(np.median(values))
    limits = [limit for limit, _ in HU_CLASSES][:-1]
    classes = np.array([tissue for _, tissue in HU_CLASSES], dtype=np.uint8)
    smooth = ndimage.gaussian_filter(ct.array.astype(np.float32), 0.7 / np.asarray(ct.spacing_mm[::-1]))
    codes = classes[np.searchsorted(limits, smooth)]
    like_blood = np.abs(smooth - blood_hu) < BLOOD_SPREAD * blood_hu
    core = ndimage.distance_transform_edt(like_blood, sampling=ct.spacing_mm[::-1]) > VESSEL_CORE_MM
    grown = ndimage.distance_transform_edt(~core, sampling=ct.spacing_mm[::-1]) <= VESSEL_CORE_MM + 1.5
    codes[grown & (smooth > limits[-1])] = Tissue.AORTA
    return ct.with_array(codes)


def rv_wall_of(labels: Volume) -> Volume:
    """A thin wall around the right ventricle's cavity, which no CT label gives."""
    distance = ndimage.distance_transform_edt(labels.array != Label.RV_CAVITY, sampling=labels.spacing_mm[::-1])
    return labels.with_array(((distance > 0) & (distance <= RV_WALL_MM)).astype(np.uint8))


def _soft(nearer_mm: Array) -> Array:
    """0..1 over the collateral rim; 0.5 where both supplies are equally far."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(nearer_mm / COLLATERAL_RIM_MM, -30, 30))))


def _branch_points(tree: CoronaryTree | None, vessel: str) -> tuple[Array | None, Array | None]:
    """Tree points (n, 3) of the vessel and of the other two; None where the tree does not show them."""
    if tree is None:
        return None, None
    mine: list[Array] = []
    others: list[Array] = []
    for branch in tree.branches:
        if branch.name != "LM" and len(branch.points_mm) > 10:
            (mine if vessel_of(tree, branch.name) == vessel else others).append(branch.points_mm)
    vessels = {vessel_of(tree, b.name) for b in tree.branches if b.name != "LM"}
    if len(vessels) < 3 or not mine or not others:
        return None, None
    return np.concatenate(mine), np.concatenate(others)


def _insertions(pose: HeartPose, heights: Array, centres: Array) -> tuple[float, float]:
    """Angles of the anterior and inferior RV insertion about the LV centre; 120 and 240 degrees where unknown."""
    found = []
    for name, usual in (("rv_insertion_anterior", 120.0), ("rv_insertion_inferior", 240.0)):
        if name in pose.landmarks:
            point = pose.to_heart(pose.landmarks[name]).copy()
            point[:2] -= [np.interp(point[2], heights, c) for c in centres.T]
            usual = float(insertion_angle_deg(point))
        found.append(usual)
    return found[0], found[1]
