"""Every node of a case under a name, kept in the scene itself, so that a case is found again after loading.

One root node a case refers to all others by a role ("ct", "tube.LAD", "bullseye.disc", ...). Drawing a case for the
first time and drawing it again after a correction are the same act: ``put`` makes a node that is missing and renews one
that is there, so that what the reader set (colours, opacity, visibility) stays; ``sweep`` takes away what is not drawn
any more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from CardiacFusionLib.mrml.hierarchy import CaseFolder, remove_node

CASE_ATTRIBUTE = "CardiacFusion.Case"
# parameters of the root node: everything which is not a node, as JSON; the roles in the order they were first drawn
_FACTS, _ORDER = "facts", "order"


def role(*parts: object) -> str:
    """A role's name from its parts; node references allow no spaces, colons or semicolons in it."""
    return ".".join(re.sub(r"[^A-Za-z0-9_.+-]", "_", str(part)) for part in parts)


class Shelf:
    """The nodes and facts of one case. ``root`` is its ``vtkMRMLScriptedModuleNode``."""

    def __init__(self, scene: Any, root: Any) -> None:
        self.scene = scene
        self.root = root
        self.folder = CaseFolder.of(scene, root)
        self._drawn: set[str] = set()

    @classmethod
    def new(cls, scene: Any, title: str) -> Shelf:
        """An empty shelf for a case; a title already taken gets a number."""
        taken = {shelf.title for shelf in cls.all(scene)}
        name, number = title, 2
        while name in taken:
            name, number = f"{title} ({number})", number + 1
        root = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", name)
        root.SetAttribute(CASE_ATTRIBUTE, "1")
        root.SetHideFromEditors(True)
        folder = CaseFolder(scene, name)
        folder.put(root)
        return cls(scene, root)

    @classmethod
    def all(cls, scene: Any) -> list[Shelf]:
        """The shelves of all cases in a scene, in the order they came."""
        found = scene.GetNodesByClass("vtkMRMLScriptedModuleNode")
        nodes = [found.GetItemAsObject(i) for i in range(found.GetNumberOfItems())]
        found.UnRegister(None)
        return [cls(scene, node) for node in nodes if node.GetAttribute(CASE_ATTRIBUTE)]

    @property
    def title(self) -> str:
        """The case's name in the scene."""
        return str(self.root.GetName())

    def get(self, name: str) -> Any:
        """The node of a role, or None."""
        return self.root.GetNodeReference(name)

    def roles(self, prefix: str = "") -> list[str]:
        """Roles in use that begin with ``prefix``, in the order they were first drawn."""
        names = (self.root.GetParameter(_ORDER) or "").split(",")
        return [name for name in names if name.startswith(prefix) and self.get(name) is not None]

    def under(self, prefix: str) -> list[Any]:
        """The nodes of all roles that begin with ``prefix``."""
        return [self.get(name) for name in self.roles(prefix)]

    def fact(self, name: str, default: Any = None) -> Any:
        """A fact of the case (JSON types)."""
        return self.facts().get(name, default)

    def facts(self) -> dict[str, Any]:
        """All facts of the case."""
        text = self.root.GetParameter(_FACTS)
        return json.loads(text) if text else {}

    def set_facts(self, **facts: Any) -> None:
        """Add or change facts."""
        self.root.SetParameter(_FACTS, json.dumps({**self.facts(), **facts}))

    def begin(self) -> None:
        """Start drawing: nothing counts as drawn yet."""
        self._drawn = set()

    def put(
        self,
        name: str,
        make: Callable[..., Any],
        renew: Callable[..., object] | None = None,
        *,
        folder: str | None = None,
        under: Any = None,
    ) -> Any:
        """The node of a role: made, hung into ``folder`` and under the transform ``under`` where it is missing, else
        renewed. ``make()`` gives the node, ``renew(node)`` brings it up to date."""
        node = self.get(name)
        if node is None:
            node = make()
            if under is not None:
                node.SetAndObserveTransformNodeID(under.GetID())
            self.root.SetNodeReferenceID(name, node.GetID())
            order = self.root.GetParameter(_ORDER) or ""
            if name not in order.split(","):
                self.root.SetParameter(_ORDER, f"{order},{name}")
            self.folder.put(node, folder)
        elif renew is not None:
            renew(node)
        self._drawn.add(name)
        return node

    def keep(self, prefix: str) -> None:
        """Count everything under a prefix as drawn."""
        self._drawn.update(self.roles(prefix))

    def sweep(self, *prefixes: str) -> None:
        """Remove the nodes under ``prefixes`` that were not drawn since :meth:`begin`."""
        for prefix in prefixes:
            for name in self.roles(prefix):
                if name not in self._drawn:
                    self.remove(name)

    def remove(self, name: str) -> None:
        """Take the node of a role out of the scene, with its displays and storages."""
        node = self.get(name)
        self.root.SetNodeReferenceID(name, None)
        if node is not None:
            remove_node(self.scene, node)
