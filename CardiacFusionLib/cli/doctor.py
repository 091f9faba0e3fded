"""``cardiacfusion doctor``: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from CardiacFusionLib import __version__
from CardiacFusionLib.spatial.errors import CardiacFusionError

PACKAGES = ("torch", "SimpleITK", "numpy", "scipy", "scikit-image", "vtk", "monai", "pydicom", "pynrrd", "matplotlib",
            "pandas", "typer", "rich", "jinja2", "safetensors")  # fmt: skip
GL_LIBRARIES = ("EGL", "GL", "OSMesa")
MIN_FREE_GB = 2.0
MIN_MEMORY_GB = 4.0


@dataclass(frozen=True)
class Check:
    """One thing looked at. ``needed`` marks what no run can do without; ``mend`` says how to get it."""

    name: str
    ok: bool
    found: str
    mend: str = ""
    needed: bool = True


def system_packages() -> list[str]:
    """The Debian packages for offscreen pictures, from the one file that names them."""
    path = Path(__file__).resolve().parents[2] / "Resources" / "system-packages.txt"
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def checks() -> Iterator[Check]:
    """Look at everything, one check after another."""
    yield Check("CardiacFusion", True, f"{__version__}, Python {platform.python_version()}")
    for package in PACKAGES:
        try:
            yield Check(package, True, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Check(package, False, "not installed", f"pip install {package}")
    yield _scene()
    yield _offscreen()
    yield from _models()
    yield _memory()
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    yield Check("disk", free > MIN_FREE_GB, f"{free:.0f} GB free here", "make room or work in another folder")
    data = Path(os.environ.get("CARDIACFUSION_DATA", "../shared/data"))
    yield Check(
        "real images for tests",
        data.is_dir(),
        str(data) if data.is_dir() else "absent",
        "set CARDIACFUSION_DATA to their folder; tests that need them are skipped",
        needed=False,
    )


def _scene() -> Check:
    try:
        version = importlib.metadata.version("slicer-core")
    except importlib.metadata.PackageNotFoundError:
        mend = "pip install 'cardiacfusion[scene]'; without it no scene.mrb and no views"
        return Check("slicer-core", False, "not installed", mend, needed=False)
    return Check("slicer-core", True, version)


def _offscreen() -> Check:
    missing = [name for name in GL_LIBRARIES if ctypes.util.find_library(name) is None]
    command = f"sudo apt-get install {' '.join(system_packages())}"
    found = "EGL and software OpenGL" if not missing else "without " + ", ".join(missing)
    return Check("offscreen pictures", not missing, found, command, needed=False)


def _models() -> Iterator[Check]:
    from CardiacFusionLib.models.loading import choose_device
    from CardiacFusionLib.models.manifest import file_sha256, models_folder, read_manifest

    try:
        entries = read_manifest()
    except CardiacFusionError as error:
        yield Check("weights", False, "no manifest", str(error))
        return
    for name, entry in entries.items():
        path = models_folder() / entry.file
        good = path.exists() and file_sha256(path) == entry.sha256
        found = f"version {entry.version}" if good else ("altered" if path.exists() else "missing")
        yield Check(f"weights {name}", good, found, f"restore {entry.file} from the release or train '{name}'")
    try:
        device, reason = choose_device()
    except ImportError:
        yield Check("device", False, "torch is missing", "pip install torch")
        return
    yield Check("device", True, f"{device} ({reason})")


def _memory() -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9 if hasattr(os, "sysconf") else 0.0
    return Check("memory", total == 0.0 or total > MIN_MEMORY_GB, f"{total:.0f} GB", "a run needs up to 4 GB")
