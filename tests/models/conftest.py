"""What tests of the adapters share."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from support import torchvision_shim
from support.tiny_models import Pixels, pictures

os.environ["CUDA_VISIBLE_DEVICES"] = ""
if find_spec("torch") is not None:
    torchvision_shim.apply()


@pytest.fixture(scope="session")
def photos() -> list[Pixels]:
    """Odd sizes, tiny ones, a banner, a tower."""
    return pictures()
