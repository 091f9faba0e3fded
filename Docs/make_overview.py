"""The README's picture: the views of a synthetic case in one sheet.

``python Docs/make_overview.py demo/case/views Resources/Screenshots/overview.png`` after ``make demo``. Refuses views
of a case that is not marked synthetic: no patient's picture goes into the repository.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PIL import Image

ORDER = ("short_axis", "long_axis_horizontal", "surface_3d", "bullseye")
WIDTH = 640  # pixels a view


def overview(views: Path, out: Path) -> None:
    """Two by two views; raises SystemExit where the case is not synthetic."""
    record = json.loads((views.parent / "case.json").read_text(encoding="utf-8"))
    if record.get("synthetic") is not True:
        raise SystemExit(f"{views.parent} is not marked synthetic; its pictures stay out of the repository.")
    pictures = [Image.open(views / f"{name}.png").convert("RGB") for name in ORDER]
    pictures = [p.resize((WIDTH, round(p.height * WIDTH / p.width)), Image.Resampling.LANCZOS) for p in pictures]
    height = max(p.height for p in pictures)
    sheet = Image.new("RGB", (2 * WIDTH, 2 * height))
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (index % 2 * WIDTH, index // 2 * height))
    sheet.quantize(128).save(out, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    overview(Path(sys.argv[1]), Path(sys.argv[2]))
