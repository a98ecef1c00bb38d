"""The backbones by name: those of all files in this folder that define a BACKBONE."""

import importlib
import pkgutil

from reid.nets import backbones
from reid.nets.backbones.backbone import Backbone


def _found() -> dict[str, Backbone]:
    names = sorted(module.name for module in pkgutil.iter_modules(backbones.__path__))
    modules = [importlib.import_module(f"{backbones.__name__}.{name}") for name in names
               if name != "registry"]
    found = [module.BACKBONE for module in modules if hasattr(module, "BACKBONE")]
    return {backbone.name: backbone for backbone in found}


BACKBONES = _found()
