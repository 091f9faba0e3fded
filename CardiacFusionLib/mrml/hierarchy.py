"""The case folder in the subject hierarchy: where every node of a case hangs, and how a case is removed again."""

from __future__ import annotations

from typing import Any


class CaseFolder:
    """One folder of the subject hierarchy with named subfolders, made when first used."""

    def __init__(self, scene: Any, title: str) -> None:
        import slicer

        self.scene = scene
        self._tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        self.item = self._tree.CreateFolderItem(self._tree.GetSceneItemID(), title)
        self._folders: dict[str, int] = {}

    def put(self, node: Any, folder: str | None = None) -> Any:
        """Hang a node into the case folder, or into a subfolder of it; the node is returned."""
        parent = self.item
        if folder is not None:
            if folder not in self._folders:
                self._folders[folder] = self._tree.CreateFolderItem(self.item, folder)
            parent = self._folders[folder]
        item = self._tree.GetItemByDataNode(node)
        if item:  # Slicer's own plugins have made one already
            self._tree.SetItemParent(item, parent)
        else:
            self._tree.CreateItem(parent, node)
        return node


def remove_case(scene: Any, title: str) -> int:
    """Remove a case folder with its nodes, their displays and storages; the count of nodes removed."""
    import slicer
    import vtk

    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = tree.GetItemByName(title)
    if not item:
        return 0
    before = scene.GetNumberOfNodes()
    nodes = vtk.vtkCollection()
    tree.GetDataNodesInBranch(item, nodes)
    tree.RemoveItem(item, False, True)
    for index in range(nodes.GetNumberOfItems()):
        node = nodes.GetItemAsObject(index)
        for attached in _attached(node):
            if attached is not None and attached.GetScene() is scene:
                scene.RemoveNode(attached)
        if node.GetScene() is scene:
            scene.RemoveNode(node)
    return int(before - scene.GetNumberOfNodes())


def _attached(node: Any) -> list[Any]:
    """Display and storage nodes of a node."""
    found: list[Any] = []
    if hasattr(node, "GetNumberOfDisplayNodes"):
        found += [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]
    if hasattr(node, "GetNumberOfStorageNodes"):
        found += [node.GetNthStorageNode(i) for i in range(node.GetNumberOfStorageNodes())]
    return found
