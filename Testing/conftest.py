"""Shared fixtures: where the real data lies, and a reason where it does not."""

import importlib
import importlib.util
import os
from pathlib import Path

import pytest
from hypothesis import settings

# A test run gives the same verdict twice: the drawn examples are fixed. To search for new counterexamples, run with
# HYPOTHESIS_PROFILE=explore.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=300, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

# Two test processes share two cores: with torch's default threads they wait for one another, and a minute becomes
# eight. Child processes of the tests take this over.
os.environ.setdefault("CARDIACFUSION_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# CUDA builds of torch bring triton, and triton an LLVM of its own. Once software OpenGL (Mesa) has loaded its LLVM,
# triton's crashes the process; the other way round both live together.
if importlib.util.find_spec("triton") is not None:
    importlib.import_module("triton")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real images (``CARDIACFUSION_DATA``, default ``../shared/data`` beside the project)."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CARDIACFUSION_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set CARDIACFUSION_DATA to the folder that holds it")
    return folder
