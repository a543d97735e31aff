"""What tests of the captioners share: models of transformers import beside whatever torchvision there is."""

from __future__ import annotations

import os
from importlib.util import find_spec

from support import torchvision_shim

os.environ["CUDA_VISIBLE_DEVICES"] = ""
if find_spec("torch") is not None:
    torchvision_shim.apply()
