"""The stages on a heart made unlike the twin."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from plain_heart import PlainHeart

from CardiacFusionLib.pipeline.stages import Examinations, Results, run
from CardiacFusionLib.spatial.labels import Label
from CardiacFusionLib.spatial.pose import axis_angle_deg, roll_angle_deg
from CardiacFusionLib.training.evaluation.overlap import dice
from CardiacFusionLib.walls.cmr import segment_cmr

SEED = 21  # its wall is thin at the tip; drawn too thick it tilted the axis by 6 degrees


@lru_cache(maxsize=1)
def segmented() -> tuple[PlainHeart, Results]:
    heart = PlainHeart(SEED)
    return heart, run(Examinations(heart.ct(1.25)), upto="segment")


def test_the_frame_is_found() -> None:
    heart, results = segmented()
    assert results.pose is not None
    assert axis_angle_deg(results.pose, heart.pose()) < 4.0
    assert abs(roll_angle_deg(results.pose, heart.pose())) < 4.0
    assert np.linalg.norm(results.pose.landmarks["apex"] - heart.pose().landmarks["apex"]) < 4.5


def test_the_walls_of_the_ct_are_found() -> None:
    heart, results = segmented()
    assert results.ct_walls is not None
    labels = results.ct_walls.labels
    true = heart.labels(labels.grid_lps())
    assert dice(labels.array == Label.LV_CAVITY, true == Label.LV_CAVITY) > 0.95
    assert dice(labels.array == Label.MYOCARDIUM, true == Label.MYOCARDIUM) > 0.90


def test_the_walls_of_the_first_pass_are_found() -> None:
    series, truth = PlainHeart(SEED).series()
    found = segment_cmr(series).labels
    assert dice(found == Label.LV_CAVITY, truth == Label.LV_CAVITY) > 0.93
    assert dice(found == Label.MYOCARDIUM, truth == Label.MYOCARDIUM) > 0.88
