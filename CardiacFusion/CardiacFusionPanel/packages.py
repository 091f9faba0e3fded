"""The Python packages a run needs: what is missing, and their installation at the first Run. Never at import.

Nothing that is there already is replaced: every installed package is pinned while others are added. torch comes through
the PyTorch extension where that is installed, since it knows which build fits the graphics card.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import slicer

REQUESTER = "CardiacFusion"
TORCH = "torch"
# what Slicer itself is built with: never touched, even where a newer version is asked for
SHIPPED = ("numpy", "scipy", "simpleitk", "vtk", "pydicom", "requests", "pip", "setuptools", "packaging")
RUN, VIEW, EXPORT = "run", "view", "export"  # what packages are asked for
RUN_ONLY = (TORCH, "typer", "rich", "safetensors")  # not needed to look at a finished case and correct it
EXPORT_ONLY = ("highdicom",)  # asked for at the first DICOM export
_DRIVER = Path("/proc/driver/nvidia/version")


class PackagesError(Exception):
    """The packages are not there; ``str(error)`` is the sentence for the panel."""


def requirements_file() -> Path:
    """The list of packages, shipped with the module."""
    return Path(__file__).resolve().parents[1] / "Resources" / "requirements.txt"


def _requirement(line: str) -> Any:
    try:
        from packaging.requirements import Requirement
    except ImportError:  # Slicer 5.10 has it inside pip only
        from pip._vendor.packaging.requirements import Requirement
    return Requirement(line)


def missing(purpose: str = RUN) -> list[str]:
    """Requirements of a purpose (RUN, VIEW, EXPORT) that are not satisfied, as in the list. Imports nothing."""
    lines = [line.strip() for line in requirements_file().read_text(encoding="utf-8").splitlines()]
    absent = []
    for line in lines:
        if not line or line.startswith("#"):
            continue
        requirement = _requirement(line)
        if not _needed(requirement.name, purpose):
            continue
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(line)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            absent.append(line)
    return absent


def _needed(name: str, purpose: str) -> bool:
    if name in EXPORT_ONLY or purpose == EXPORT:
        return name in EXPORT_ONLY and purpose == EXPORT
    return purpose == RUN or name not in RUN_ONLY


def ensure(purpose: str = RUN) -> None:
    """Install what is missing after asking the user; PackagesError with a sentence where that did not happen."""
    absent = missing(purpose)
    if not absent:
        return
    names = ", ".join(_requirement(line).name for line in absent)
    if slicer.app.testingEnabled():
        raise PackagesError(
            f"These Python packages are missing: {names}. Installation is off while Slicer tests itself."
        )
    torch = [line for line in absent if _requirement(line).name == TORCH]
    if torch and _torch_by_extension(str(_requirement(torch[0]).specifier)):
        absent = [line for line in absent if line not in torch]
    with tempfile.TemporaryDirectory(prefix="cardiacfusion-pins-") as folder:
        pins = Path(folder) / "constraints.txt"
        pins.write_text("\n".join(_pins(absent)) + "\n", encoding="utf-8")
        _install(absent, pins)
    still = missing(purpose)
    if still:
        names = ", ".join(_requirement(line).name for line in still)
        raise PackagesError(f"These Python packages are still missing: {names}. See Docs/slicer.md for other ways.")


def torch_note() -> str | None:
    """A sentence where the installed torch cannot use the graphics card that is there, else None."""
    if shutil.which("nvidia-smi") is None and not _DRIVER.is_file():
        return None
    try:
        version = importlib.metadata.version(TORCH)
    except importlib.metadata.PackageNotFoundError:
        return None
    if "+cpu" not in version:
        return None
    return (
        f"This computer has an NVIDIA graphics card, but the installed torch ({version}) cannot use it, so the "
        "processor computes and a run takes longer. For the card: uninstall torch in 'PyTorch Utils' (PyTorch "
        "extension), install it there again, and restart Slicer."
    )


def _torch_by_extension(specifier: str) -> bool:
    """Install torch by the PyTorch extension; False where the extension is not there."""
    try:
        import PyTorchUtils
    except ImportError:
        return False
    try:
        torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True, torchVersionRequirement=specifier)
    except Exception as error:  # the extension raises whatever pip or the network raise
        raise PackagesError(f"The PyTorch extension could not install torch ({error}); try its own module.") from error
    if torch is None:
        raise PackagesError("Without torch the networks cannot run. Press Run again to allow its installation.")
    return True


def _pins(wanted: list[str]) -> list[str]:
    """``name==version`` of everything installed, but for packages that are asked for in a newer version."""
    asked = {_requirement(line).name.lower() for line in wanted}
    pins = {}
    for distribution in importlib.metadata.distributions():
        name = (distribution.metadata["Name"] or "").lower()
        if name and (name not in asked or name in SHIPPED):
            pins[name] = f"{name}=={distribution.version}"
    return [pins[name] for name in sorted(pins)]


def _install(wanted: list[str], pins: Path) -> None:
    """Ask and install, by ``slicer.packaging`` (5.12 and newer) or ``slicer.util`` (5.10)."""
    if not wanted:
        return
    try:
        import slicer.packaging as packaging_tools
    except ImportError:
        packaging_tools = None
    names = ", ".join(_requirement(line).name for line in wanted)
    try:
        if packaging_tools is not None and hasattr(packaging_tools, "pip_ensure"):
            packaging_tools.pip_ensure(list(wanted), constraints=str(pins), requester=REQUESTER)
            return
        question = f"CardiacFusion needs these Python packages: {names}. Install them into Slicer's own Python now?"
        if not slicer.util.confirmOkCancelDisplay(question, "CardiacFusion"):
            raise RuntimeError("declined")
        slicer.util.pip_install(["-c", str(pins), *wanted])
    except RuntimeError as error:
        raise PackagesError(
            f"The installation was declined; a run needs {names}. Press Run again to allow it."
        ) from error
    except subprocess.CalledProcessError as error:
        raise PackagesError(
            f"pip could not install {names} (code {error.returncode}); is there a connection, and room on the disk? "
            "The Python console has pip's own words."
        ) from error
