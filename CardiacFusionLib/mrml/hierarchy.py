"""The case folder in the subject hierarchy: where every node of a case hangs, and how a case is removed again."""

from __future__ import annotations

from typing import Any


def _tree_of(scene: Any) -> Any:
    import slicer

    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


class CaseFolder:
    """One folder of the subject hierarchy with named subfolders, made when first used."""

    def __init__(self, scene: Any, title: str, item: int | None = None) -> None:
        self.scene = scene
        self._tree = _tree_of(scene)
        self.item = item or self._tree.CreateFolderItem(self._tree.GetSceneItemID(), title)

    @classmethod
    def of(cls, scene: Any, node: Any) -> CaseFolder:
        """The folder in which a node hangs; a new one of its name where it hangs in none."""
        tree = _tree_of(scene)
        item = tree.GetItemByDataNode(node)
        parent = tree.GetItemParent(item) if item else 0
        return cls(scene, node.GetName(), parent if parent and parent != tree.GetSceneItemID() else None)

    def put(self, node: Any, folder: str | None = None) -> Any:
        """Hang a node into the case folder, or into a subfolder of it; the node is returned."""
        parent = self.item
        if folder is not None:
            parent = self._tree.GetItemChildWithName(self.item, folder)
            if not parent:
                parent = self._tree.CreateFolderItem(self.item, folder)
        item = self._tree.GetItemByDataNode(node)
        if item:  # Slicer's own plugins have made one already
            self._tree.SetItemParent(item, parent)
        else:
            self._tree.CreateItem(parent, node)
        return node


def remove_folder(scene: Any, item: int) -> int:
    """Remove a folder of the subject hierarchy with its nodes, their displays and storages; the nodes removed."""
    import vtk

    tree = _tree_of(scene)
    before = scene.GetNumberOfNodes()
    held = vtk.vtkCollection()
    tree.GetDataNodesInBranch(item, held)
    nodes = [held.GetItemAsObject(index) for index in range(held.GetNumberOfItems())]
    tree.RemoveItem(item, False, True)
    for node in nodes:
        remove_attached(scene, node)
        if node.GetScene() is scene:
            scene.RemoveNode(node)
    return int(before - scene.GetNumberOfNodes())


def remove_case(scene: Any, title: str) -> int:
    """Remove the case whose folder is called ``title``; the count of nodes removed."""
    item = _tree_of(scene).GetItemByName(title)
    return remove_folder(scene, item) if item else 0


def remove_node(scene: Any, node: Any) -> None:
    """Take a node out of the hierarchy and out of the scene, with its displays and storages."""
    tree = _tree_of(scene)
    item = tree.GetItemByDataNode(node)
    if item:
        tree.RemoveItem(item, False, False)
    remove_attached(scene, node)
    if node.GetScene() is scene:
        scene.RemoveNode(node)


def remove_attached(scene: Any, node: Any) -> None:
    """Remove the display and storage nodes of a node."""
    found: list[Any] = []
    if hasattr(node, "GetNumberOfDisplayNodes"):
        found += [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]
    if hasattr(node, "GetNumberOfStorageNodes"):
        found += [node.GetNthStorageNode(i) for i in range(node.GetNumberOfStorageNodes())]
    for attached in found:
        if attached is not None and attached.GetScene() is scene:
            scene.RemoveNode(attached)
