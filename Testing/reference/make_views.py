"""Draw the references of the six views anew: ``python Testing/reference/make_views.py``. Look at them afterwards.

They show a fused twin (``heart.npz``, made by ``keep_heart.py``; SYNTHETIC) at a third of the size, drawn with software
OpenGL so that every machine draws the same.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from CardiacFusionLib.mrml.outputs import write_scene_and_views
from CardiacFusionLib.pipeline.packing import read_packed

HERE = Path(__file__).resolve().parent

SIZE = (353, 300)


def main() -> None:
    """Write ``views/*.png`` beside this file."""
    (HERE / "views").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        made = write_scene_and_views(
            read_packed(HERE / "heart.npz"), Path(scratch), backends=("vtkOSOpenGLRenderWindow",)
        )
        if made.problems:
            sys.exit(made.problems[0])
        for view in made.views:
            with Image.open(view) as image:
                reduced = image.convert("RGB").resize(SIZE, Image.Resampling.BOX)
            reduced.save(HERE / "views" / view.name, optimize=True)


if __name__ == "__main__":
    main()
