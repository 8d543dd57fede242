"""The systems: one file each, all with the hooks of `Method`.

>>> method = create_method("rbcf", Setting(class_names, counts, epochs=60), {"mu": 0.25})
>>> model = method.prepare(model)
>>> losses = method.loss(batch, model)                                 # losses.total.backward()
"""

from __future__ import annotations

from evenface.methods.base import Batch as Batch
from evenface.methods.base import Losses as Losses
from evenface.methods.base import Method as Method
from evenface.methods.base import Options as Options
from evenface.methods.base import Picture as Picture
from evenface.methods.base import Setting as Setting
from evenface.methods.registry import METHODS as METHODS
from evenface.methods.registry import create_method as create_method
from evenface.methods.registry import get_method as get_method


__all__ = ["METHODS", "Batch", "Losses", "Method", "Options", "Picture", "Setting", "create_method", "get_method"]
