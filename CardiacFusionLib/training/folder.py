"""The user's own images and labels as training data: one folder a patient, split by patient (Docs/training.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from CardiacFusionLib.io.image_file import read_volume
from CardiacFusionLib.io.long_axis import read_long_axis
from CardiacFusionLib.io.markups import read_landmarks
from CardiacFusionLib.io.read import read_ct, read_perfusion
from CardiacFusionLib.spatial.errors import BadInputError
from CardiacFusionLib.spatial.labels import CMR_LABEL_COUNT, CT_LABEL_COUNT, Label
from CardiacFusionLib.spatial.long_axis import NAMES, LongAxisView
from CardiacFusionLib.spatial.series import Series
from CardiacFusionLib.spatial.volume import Volume
from CardiacFusionLib.training.harness import VALIDATION_SEED

SUFFIX = ".nii.gz"
LABELS, MARKS = "_labels" + SUFFIX, ".mrk.json"
CT, FRAMES, SERIES, VIEWS = "ct", "sax", "perfusion", "lax"  # how the files of a patient begin
VALIDATION_SHARE = 0.2
SAME_PLACE_MM = 0.5  # an image and its labels may differ by rounding only
OFF_PLANE_MM = 3.0  # a point marked in a view lies in its plane but for rounding
MIN_VENTRICLE_ML, MIN_VENTRICLE_MM2 = 20.0, 100.0
KEPT = 12  # volumes a worker keeps in memory


@dataclass(frozen=True)
class Pair:
    """One image file and its labels, or the points marked in it."""

    patient: str
    image: Path
    labels: Path


@dataclass(frozen=True)
class FolderData:
    """All pairs of one kind (``CT``, ``FRAMES``, ``SERIES``, ``VIEWS``) in a folder."""

    folder: Path
    kind: str

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every image of this kind with its labels, in order of name. BadInputError where labels are missing."""
        if not self.folder.is_dir():
            raise BadInputError(f"There is no folder {self.folder}; give --data twin or a folder of patients.")
        found = []
        for image in sorted(self.folder.glob(f"*/{self.kind}*{SUFFIX}")):
            if image.name.endswith(LABELS):
                continue
            labels = image.with_name(image.name.removesuffix(SUFFIX) + (MARKS if self.kind == VIEWS else LABELS))
            if not labels.is_file():
                raise BadInputError(
                    f"{image.parent.name}/{image.name} has no labels; put {labels.name} beside it, or take it away."
                )
            found.append(Pair(image.parent.name, image, labels))
        return tuple(found)

    @cached_property
    def held_back(self) -> frozenset[str]:
        """Patients kept for validation: those of ``validation.txt``, else about one in five by the hash of the name."""
        patients = sorted({pair.patient for pair in self.pairs})
        if len(patients) < 2:
            raise BadInputError(
                f"{self.folder} holds {len(patients)} patients with {self.kind}*{SUFFIX} and labels; training needs "
                "two or more, for one at least is kept for validation."
            )
        listed = self.folder / "validation.txt"
        if listed.is_file():
            wanted = {line.strip() for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()}
            strange = sorted(wanted - set(patients))
            if strange or not wanted or wanted == set(patients):
                said = (
                    f"{', '.join(strange)} is no patient" if strange else "it must name some patients, not none or all"
                )
                raise BadInputError(f"validation.txt in {self.folder} cannot be used: {said}.")
            return frozenset(wanted)
        ranked = sorted(patients, key=lambda p: hashlib.sha256(p.encode()).hexdigest())
        return frozenset(ranked[: max(1, round(VALIDATION_SHARE * len(ranked)))])

    def pick(self, seed: int) -> Pair:
        """A pair for a seed: of the patients held back for validation seeds, of the others for training seeds; every
        patient is as likely as the next, however many images it has."""
        validating = seed >= VALIDATION_SEED
        usable = [p for p in self.pairs if (p.patient in self.held_back) == validating]
        patients = sorted({p.patient for p in usable})
        if validating:
            patient = patients[(seed - VALIDATION_SEED) % len(patients)]
            mine = [p for p in usable if p.patient == patient]
            return mine[(seed - VALIDATION_SEED) // len(patients) % len(mine)]
        rng = np.random.default_rng((seed, 31))
        patient = patients[int(rng.integers(len(patients)))]
        mine = [p for p in usable if p.patient == patient]
        return mine[int(rng.integers(len(mine)))]

    def check(self) -> str:
        """Read every pair once; a sentence of what there is. BadInputError names the first pair that cannot be used."""
        for pair in self.pairs:
            read: dict[str, Callable[[Pair], object]] = {SERIES: read_series_pair, VIEWS: read_view_pair}
            read[self.kind](pair) if self.kind in read else read_pair(pair, self.kind)
        patients = {p.patient for p in self.pairs}
        kept = len(self.held_back)
        return f"{len(self.pairs)} images of {len(patients)} patients, {kept} of them held back for validation"


def _labels_of(pair: Pair, count: int) -> Volume:
    volume = read_volume(pair.labels)
    array = np.asarray(volume.array)
    name = f"{pair.patient}/{pair.labels.name}"
    if not np.array_equal(array, np.rint(array)) or array.min() < 0 or array.max() >= count:
        raise BadInputError(f"{name} must hold whole numbers from 0 to {count - 1} (Docs/training.md lists them).")
    labels = array.astype(np.uint8)
    missing = [x.name.lower().replace("_", " ") for x in (Label.LV_CAVITY, Label.MYOCARDIUM) if not (labels == x).any()]
    if missing:
        raise BadInputError(f"{name} holds no {' and no '.join(missing)}; label the left ventricle or leave it out.")
    return volume.with_array(labels)


def _same_place(pair: Pair, image: Volume, labels: Volume) -> None:
    last = np.array([*(n - 1 for n in image.size), 1.0])
    corners = np.stack([[0.0, 0.0, 0.0, 1.0], last, last * [1, 0, 1, 1]])
    off = np.abs(corners @ (image.index_to_lps - labels.index_to_lps).T).max()
    if image.array.shape != labels.array.shape or off > SAME_PLACE_MM:
        raise BadInputError(
            f"{pair.patient}/{pair.labels.name} lies on another grid than {pair.image.name}; resample it to the image."
        )


@lru_cache(maxsize=KEPT)
def read_pair(pair: Pair, kind: str) -> tuple[Volume, Volume]:
    """Image (CT in HU, or a stack of short-axis frames) and labels on one grid. BadInputError names what is wrong."""
    image = read_ct(pair.image) if kind == CT else read_volume(pair.image)
    labels = _labels_of(pair, CT_LABEL_COUNT if kind == CT else CMR_LABEL_COUNT)
    _same_place(pair, image, labels)
    if not np.all(np.isfinite(image.array)):
        raise BadInputError(f"{pair.patient}/{pair.image.name} holds values that are not numbers; export it again.")
    if kind == CT:
        ventricle = np.isin(labels.array, (Label.LV_CAVITY, Label.MYOCARDIUM)).sum() * labels.voxel_volume_ml
        if ventricle < MIN_VENTRICLE_ML:
            raise BadInputError(f"{pair.patient}/{pair.labels.name}: a ventricle of {ventricle:.0f} ml is no heart.")
    return image, labels


@lru_cache(maxsize=KEPT)
def read_series_pair(pair: Pair) -> tuple[Series, NDArray[np.uint8]]:
    """A first-pass series and labels (slice, y, x) of its slices."""
    series = read_perfusion(pair.image)
    labels = np.asarray(_labels_of(pair, CMR_LABEL_COUNT).array, np.uint8)
    wanted = (series.slice_count, *series.array.shape[2:])
    if labels.shape != wanted:
        raise BadInputError(
            f"{pair.patient}/{pair.labels.name} has shape {labels.shape}; one picture a slice, {wanted}, is needed."
        )
    return series, labels


@lru_cache(maxsize=KEPT)
def read_view_pair(pair: Pair) -> tuple[LongAxisView, dict[str, NDArray[np.float64]]]:
    """A long-axis view and the points marked in it (LPS mm): those of ``mitral_1``, ``mitral_2``, ``apex`` it shows."""
    views = read_long_axis([pair.image])
    name = f"{pair.patient}/{pair.labels.name}"
    if len(views) != 1:
        raise BadInputError(f"{pair.patient}/{pair.image.name} holds {len(views)} planes; give one view a file.")
    points = read_landmarks(pair.labels)
    strange = sorted(set(points) - set(NAMES))
    if strange:
        raise BadInputError(f"{name} marks {', '.join(strange)}; a view has {', '.join(NAMES)}, or some of them.")
    pose = views[0].pose
    for point, place in points.items():
        if abs(float((place - np.asarray(pose.origin_mm)) @ pose.normal)) > OFF_PLANE_MM:
            raise BadInputError(f"The {point} of {name} does not lie in the plane of the view; mark it in that view.")
    return views[0], points
