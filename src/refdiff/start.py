"""A quicker start for the command line: the model libraries, without what trains, compiles or spans machines.

Imported whole they take most of a cold start. A program that imports refdiff itself gets them whole.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_COMPILER = ("torch._dynamo", "torch._dynamo._trace_wrapped_higher_order_op", "torch.fx.experimental.symbolic_shapes",
             "sympy")
# Packages that import or read all of their modules, of which a few are needed.
_LISTS = ("transformers.models", "diffusers.models.autoencoders", "diffusers.models.transformers",
          "diffusers.models.unets")


class _Same:
    """A mark that leaves functions and values as they are; a type that nothing has."""

    def __new__(cls, first: Any = None, *_: Any, **__: Any) -> Any:
        return (lambda function: function) if first is None else first


class _Compiler(ModuleType):
    """Stands for a part of torch's compiler."""

    def __getattr__(self, name: str) -> type[_Same]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Same


def lighten() -> None:
    """Make what this process imports from now on lighter; does nothing where the model libraries are already here.

    There is no torch.compile then, and to transformers and diffusers neither SciPy, which some losses and samplers use,
    nor torch.distributed.
    """
    if any(name in sys.modules for name in ("torch", "transformers", "diffusers")):
        return
    import torch.distributed

    sys.modules.update({name: _Compiler(name) for name in _COMPILER})
    torch.distributed.is_available = lambda: False
    for name in _LISTS:
        package = ModuleType(name)
        library, _, folders = name.partition(".")
        package.__path__ = [str(Path(place, *folders.split(".")))
                            for place in importlib.util.find_spec(library).submodule_search_locations]
        sys.modules[name] = package
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *package: None if name == "scipy" else find(name, *package)
