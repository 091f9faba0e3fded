"""A case in Slicer's scene: everything at its place, nothing resampled, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bullet_case import CT_POSE, DEFECT_MBF, NORMAL_MBF, SLICE_Z, bullet_case, bullet_labels
from conftest import Built

from CardiacFusionLib.spatial.labels import Label

pytest.importorskip("slicer", reason="slicer-core is not installed (pip install cardiacfusion[scene])")


def world_of(node, point_lps: np.ndarray) -> np.ndarray:
    """World point (heart frame) where a node shows a point of its own LPS space."""
    import vtk

    from CardiacFusionLib.mrml.frames import points_lps, points_ras

    to_world = vtk.vtkGeneralTransform()
    node.GetParentTransformNode().GetTransformToWorld(to_world)
    return points_lps(np.array(to_world.TransformPoint(points_ras(point_lps).tolist())))


def test_the_ct_keeps_its_grid_and_its_values(built: Built) -> None:
    from CardiacFusionLib.mrml.volumes import volume_of

    shown = volume_of(built.nodes.ct)
    np.testing.assert_array_equal(shown.array, built.content.ct.array)
    np.testing.assert_allclose(shown.index_to_lps, built.content.ct.index_to_lps, atol=1e-9)


def test_the_apex_stands_below_the_base_on_the_upright_axis(built: Built) -> None:
    marks = built.content.pose.landmarks
    np.testing.assert_allclose(world_of(built.nodes.ct, marks["apex"]), [0, 0, -45], atol=1e-6)
    np.testing.assert_allclose(world_of(built.nodes.ct, marks["base"]), [0, 0, 45], atol=1e-6)
    anterior = world_of(built.nodes.ct, marks["rv_insertion_anterior"])
    assert anterior[0] < 0 and anterior[1] < 0  # septal and anterior


def test_a_corrected_pose_moves_ct_walls_vessels_and_surface_together(built: Built) -> None:
    from CardiacFusionLib.mrml.transforms import set_transform

    followers = [built.nodes.ct, built.nodes.walls, built.nodes.landmarks, built.nodes.surface[0], built.nodes.tubes[0]]
    moved = built.content.pose.lps_to_heart.copy()
    moved[0, 3] += 5.0
    point = built.content.pose.to_lps(np.zeros(3))
    try:
        set_transform(built.nodes.ct_to_heart, moved)
        for node in followers:
            np.testing.assert_allclose(world_of(node, point), [5, 0, 0], atol=1e-6)
    finally:
        set_transform(built.nodes.ct_to_heart, built.content.pose.lps_to_heart)


def test_every_measured_slice_stands_at_its_height_with_its_values_untouched(built: Built) -> None:
    from CardiacFusionLib.mrml.volumes import NO_DATA, volume_of

    stress = [n for n in built.nodes.measured if n.GetName().startswith("Stress MBF")]
    assert len(stress) == len(SLICE_Z)
    for index, node in enumerate(stress):
        shown = volume_of(node)
        middle = world_of(node, shown.centre_mm)
        assert middle[2] == pytest.approx(SLICE_Z[index], abs=0.2)
        truth = built.content.stress.maps.maps["mbf"][index]
        there = np.isfinite(truth)
        np.testing.assert_array_equal(shown.array[0][there], truth[there])
        assert np.all(shown.array[0][~there] == NO_DATA)


def test_rest_slices_are_lifted_like_their_stress_neighbours(built: Built) -> None:
    from CardiacFusionLib.mrml.volumes import volume_of

    rest = [n for n in built.nodes.measured if n.GetName().startswith("Rest MBF")]
    heights = [world_of(node, volume_of(node).centre_mm)[2] for node in rest]
    assert heights == pytest.approx(list(SLICE_Z), abs=0.2)


def test_the_map_on_the_ct_wall_covers_the_wall_and_invents_no_colour_at_its_edge(built: Built) -> None:
    from CardiacFusionLib.mrml.volumes import NO_DATA, volume_of

    for node in built.nodes.slice_maps.values():
        shown = volume_of(node)
        heart = CT_POSE.to_heart(shown.grid_lps())
        wall = bullet_labels(heart) == Label.MYOCARDIUM
        coloured = shown.array != NO_DATA
        overlap = 2 * (wall & coloured).sum() / (wall.sum() + coloured.sum())
        assert overlap > 0.95
        values = shown.array[coloured]
        assert values.min() >= DEFECT_MBF - 1e-4  # a mix with 'no data' would lie below every measured value
        assert values.max() <= NORMAL_MBF + 1e-4


def test_low_flow_lies_on_the_anterior_and_septal_wall_of_the_mid_slice(built: Built) -> None:
    from CardiacFusionLib.mrml.volumes import volume_of

    shown = volume_of(built.nodes.slice_maps[1])
    heart = CT_POSE.to_heart(shown.grid_lps())
    low = (shown.array >= 0) & (shown.array < 1.5)
    centre = heart[low].mean(axis=0)
    assert centre[0] < -5 and centre[1] < -5


def test_no_map_is_drawn_with_interpolated_colours(built: Built) -> None:
    for node in (*built.nodes.slice_maps.values(), *built.nodes.measured, built.nodes.wall_map):
        display = node.GetDisplayNode()
        assert display.GetInterpolate() == 0 and display.GetApplyThreshold() == 1
        assert display.GetLowerThreshold() == 0.0


def test_all_flow_maps_share_one_table_and_one_range(built: Built) -> None:
    flow = [n for n in built.nodes.measured if "MBF" in n.GetName()]
    flow += [*built.nodes.slice_maps.values(), built.nodes.wall_map]
    tables = {n.GetDisplayNode().GetColorNodeID() for n in flow}
    ranges = {(n.GetDisplayNode().GetWindowLevelMin(), n.GetDisplayNode().GetWindowLevelMax()) for n in flow}
    assert tables == {built.nodes.colour.GetID()}
    assert ranges == {(built.nodes.scale.low, built.nodes.scale.high)}
    surface = built.nodes.surface[0].GetDisplayNode()
    assert surface.GetColorNodeID() == built.nodes.colour.GetID()
    assert surface.GetScalarRange() == (built.nodes.scale.low, built.nodes.scale.high)


def test_the_wall_segment_holds_exactly_the_wall_and_its_standard_code(built: Built) -> None:
    import slicer
    import vtk

    from CardiacFusionLib.mrml.segmentations import mask_of

    labels = built.content.ct_walls.labels
    for label in (Label.MYOCARDIUM, Label.LV_CAVITY, Label.RV_CAVITY):
        mask = mask_of(built.app.scene, built.nodes.walls, label, labels)
        np.testing.assert_array_equal(mask, np.asarray(labels.array) == label)
    segment = built.nodes.walls.GetSegmentation().GetSegment("myocardium")
    assert segment.GetName() == "LV wall"
    code = vtk.reference("")
    segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), code)
    assert "SCT^74281007^Myocardium" in str(code)


def test_surface_points_without_data_are_drawn_grey_not_coloured(built: Built) -> None:
    import slicer

    wall, plain = built.nodes.surface
    surface = built.content.fusion.surface
    missing = ~np.isfinite(surface.values["mbf"])
    shown = slicer.util.arrayFromModelPointData(wall, "mbf")
    assert np.all(shown[missing] < 0) and np.all(shown[~missing] > 0)
    assert wall.GetDisplayNode().GetThresholdEnabled()
    assert plain.GetPolyData().GetNumberOfCells() == missing[surface.triangles].any(axis=1).sum()


def test_the_surface_lies_where_fusion_put_it(built: Built) -> None:
    import slicer

    from CardiacFusionLib.mrml.frames import points_lps

    own = points_lps(slicer.util.arrayFromModelPoints(built.nodes.surface[0]))
    world = np.stack([world_of(built.nodes.surface[0], p) for p in own[::97]])
    np.testing.assert_allclose(world, built.content.fusion.surface.points_mm[::97], atol=1e-3)


def test_the_tube_has_the_radius_of_the_lumen_and_the_marker_stands_at_the_narrowest_place(built: Built) -> None:
    from CardiacFusionLib.mrml.frames import points_lps

    lad = next(n for n in built.nodes.tubes if n.GetName() == "LAD")
    branch = built.content.tree_lps.branch("LAD")
    import slicer

    around = points_lps(slicer.util.arrayFromModelPoints(lad))
    arc = slicer.util.arrayFromModelPointData(lad, "arc_mm")
    for place in (0, 25, 60):  # open, in the narrowing, distal
        ring = around[np.abs(arc - branch.arc_mm[place]) < 1e-3]
        drawn = np.linalg.norm(ring - branch.points_mm[place], axis=1)
        assert drawn.max() == pytest.approx(max(branch.radius_mm[place], 0.5), rel=0.05)
    mark = points_lps(np.array(built.nodes.stenoses[0].GetNthControlPointPosition(0)))
    np.testing.assert_allclose(mark, built.content.tree_lps.stenoses[0].point_mm, atol=1e-6)
    assert built.nodes.stenoses[0].GetNthControlPointLabel(0) == "LAD 78 %"


def test_centrelines_follow_their_branch_within_half_a_millimetre(built: Built) -> None:
    import slicer

    from CardiacFusionLib.mrml.frames import points_lps

    for node, branch in zip(built.nodes.curves, built.content.tree_lps.branches):
        drawn = points_lps(slicer.util.arrayFromMarkupsCurvePoints(node))
        fine = np.concatenate([np.linspace(a, b, 12) for a, b in zip(branch.points_mm[:-1], branch.points_mm[1:])])
        apart = np.min(np.linalg.norm(drawn[:, None] - fine[None], axis=2), axis=1)
        assert np.median(apart) < 0.1 and np.percentile(apart, 95) < 0.5, branch.name


def test_landmarks_come_back_under_the_names_the_library_uses(built: Built) -> None:
    from CardiacFusionLib.mrml.markups import landmarks_of

    found = landmarks_of(built.nodes.landmarks)
    assert set(found) == set(built.content.pose.landmarks)
    for name, point in built.content.pose.landmarks.items():
        np.testing.assert_allclose(found[name], point, atol=1e-6)


def test_tables_hold_the_segments_and_the_findings(built: Built) -> None:
    import slicer

    segments, findings, stenoses = built.nodes.tables
    frame = built.content.fusion.segments
    shown = slicer.util.arrayFromTableColumn(segments, "mbf_ml_min_g")
    np.testing.assert_allclose(shown, frame["mbf_ml_min_g"], rtol=1e-5)
    assert findings.GetCellText(0, 1) == "LAD" and stenoses.GetCellText(0, 0) == "LAD"


def test_the_folder_of_the_case_holds_every_node_that_can_be_shown(built: Built) -> None:
    import slicer
    import vtk

    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(built.app.scene)
    inside = vtk.vtkCollection()
    tree.GetDataNodesInBranch(tree.GetItemByName(built.content.title), inside)
    held = {inside.GetItemAsObject(i).GetID() for i in range(inside.GetNumberOfItems())}
    shown = [
        built.app.scene.GetNthNode(i)
        for i in range(built.app.scene.GetNumberOfNodes())
        if built.app.scene.GetNthNode(i).IsA("vtkMRMLDisplayableNode")
    ]
    mine = [n for n in shown if not n.IsA("vtkMRMLCameraNode") and not n.GetSingletonTag()]
    assert {n.GetName() for n in mine if n.GetID() not in held} == set()


def test_one_of_two_cases_can_go_and_the_last_leaves_the_scene_as_it_was() -> None:
    from dataclasses import replace

    from CardiacFusionLib.mrml.app import SceneApp
    from CardiacFusionLib.mrml.scene import build_scene, remove_case

    small = bullet_case(32, 4.8, rest=False)
    with SceneApp() as app:
        before = {app.scene.GetNthNode(i).GetID() for i in range(app.scene.GetNumberOfNodes())}
        first = build_scene(small, app.scene)
        build_scene(replace(small, title="Second"), app.scene)
        assert remove_case(app.scene, "Second") > 50
        assert first.ct.GetScene() is app.scene
        assert first.wall_map.GetDisplayNode().GetColorNode() is first.colour
        remove_case(app.scene, small.title)
        after = {app.scene.GetNthNode(i).GetID() for i in range(app.scene.GetNumberOfNodes())}
        assert {i for i in after - before if "SubjectHierarchy" not in i} == set()
        assert remove_case(app.scene, small.title) == 0


def test_a_bundle_brings_everything_back(built: Built, tmp_path: Path) -> None:
    import slicer

    from CardiacFusionLib.mrml.app import SceneApp, load_scene, save_scene
    from CardiacFusionLib.mrml.segmentations import mask_of
    from CardiacFusionLib.mrml.transforms import matrix_of
    from CardiacFusionLib.mrml.volumes import volume_of

    path = tmp_path / "scene.mrb"
    save_scene(built.app.scene, path)
    assert [p.name for p in tmp_path.iterdir()] == ["scene.mrb"]

    def listed(scene) -> list[tuple[str, str]]:
        every = [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]
        return sorted((n.GetClassName(), n.GetName()) for n in every if n.IsA("vtkMRMLDisplayableNode"))

    def named(scene, name: str):
        return scene.GetFirstNodeByName(name)

    before = built.app.scene
    with SceneApp() as app:
        load_scene(app.scene, path)
        assert listed(app.scene) == listed(before)
        for i in range(before.GetNumberOfNodes()):
            node = before.GetNthNode(i)
            if node.IsA("vtkMRMLLinearTransformNode"):
                np.testing.assert_allclose(matrix_of(named(app.scene, node.GetName())), matrix_of(node), atol=1e-9)
            if node.GetClassName() == "vtkMRMLScalarVolumeNode":
                other = named(app.scene, node.GetName())
                np.testing.assert_array_equal(volume_of(other).array, volume_of(node).array)
                np.testing.assert_allclose(volume_of(other).index_to_lps, volume_of(node).index_to_lps, atol=1e-4)
                assert other.GetParentTransformNode().GetName() == node.GetParentTransformNode().GetName()
        walls = named(app.scene, "CT walls")
        labels = built.content.ct_walls.labels
        mask = mask_of(app.scene, walls, Label.MYOCARDIUM, labels)
        np.testing.assert_array_equal(mask, np.asarray(labels.array) == Label.MYOCARDIUM)
        shown = slicer.util.arrayFromModelPointData(named(app.scene, "LV wall"), "mbf")
        np.testing.assert_allclose(shown, slicer.util.arrayFromModelPointData(built.nodes.surface[0], "mbf"))
        table = named(app.scene, "Segments")
        frame = built.content.fusion.segments
        np.testing.assert_allclose(slicer.util.arrayFromTableColumn(table, "mbf_ml_min_g"), frame["mbf_ml_min_g"], 1e-4)
        colour = named(app.scene, "LV wall").GetDisplayNode().GetColorNode()
        assert colour.GetName() == built.nodes.colour.GetName() and colour.GetNumberOfColors() == 256
        tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(app.scene)
        assert tree.GetItemByName(built.content.title)


def test_an_opened_scene_shows_the_fused_heart_in_its_three_planes(pictures) -> None:
    from CardiacFusionLib.mrml.app import SceneApp, load_scene

    with SceneApp() as app:
        load_scene(app.scene, pictures.scene)
        for layout, preset in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal")):
            composite = app.scene.GetSingletonNode(layout, "vtkMRMLSliceCompositeNode")
            assert app.scene.GetNodeByID(composite.GetBackgroundVolumeID()).GetName() == "CT coronary angiogram"
            assert app.scene.GetNodeByID(composite.GetForegroundVolumeID()).GetName() == "Stress MBF, whole wall"
            assert app.scene.GetSingletonNode(layout, "vtkMRMLSliceNode").GetOrientation() == preset


def test_a_case_with_little_in_it_still_becomes_a_scene() -> None:
    from dataclasses import replace

    from CardiacFusionLib.mrml.app import SceneApp
    from CardiacFusionLib.mrml.scene import build_scene
    from CardiacFusionLib.spatial.pose import HeartPose
    from CardiacFusionLib.spatial.tree import CoronaryTree

    small = bullet_case(32, 4.8, rest=False)
    mbf = small.stress.maps.maps["mbf"].copy()
    mbf[1] = np.nan  # a slice where nothing could be fitted
    stress = replace(small.stress, maps=replace(small.stress.maps, maps={"mbf": mbf}))
    bare = replace(
        small,
        stress=stress,
        tree=CoronaryTree(()),
        pose=HeartPose(small.pose.lps_to_heart),
        fusion=replace(small.fusion, findings=()),
    )
    with SceneApp() as app:
        nodes = build_scene(bare, app.scene)
        assert sorted(nodes.slice_maps) == [0, 2]
        assert nodes.tubes == [] and nodes.landmarks.GetNumberOfControlPoints() == 0


def test_the_border_of_a_measured_map_does_not_reach_the_wall(built: Built) -> None:
    """Border pixels share their volume with blood and fat; on the CT's sharp wall they would be a false rim."""
    from scipy import ndimage

    from CardiacFusionLib.mrml.perfusion_places import slice_on_wall

    content = built.content
    spoiled = content.stress.maps.maps["mbf"].copy()
    measured = np.isfinite(spoiled[1])
    border = measured & ~ndimage.binary_erosion(measured)
    spoiled[1][border] = 0.0
    shown = slice_on_wall(content.registration, content.stress.series, spoiled, 1, content.pose)
    values = shown.array[np.isfinite(shown.array)]
    assert np.mean(values < DEFECT_MBF - 1e-3) < 0.01
    whole = content.stress.maps.maps["mbf"]
    clean = slice_on_wall(content.registration, content.stress.series, whole, 1, content.pose)
    assert np.isfinite(clean.array).sum() == len(values)  # the wall is covered all the same
