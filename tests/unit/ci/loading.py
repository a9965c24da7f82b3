"""The checks of `.ci/` as modules: no package can have that folder's name."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

from llmqueue_project.config import ROOT


def script(name: str) -> ModuleType:
    """The file `.ci/<name>.py`, executed."""
    spec = spec_from_file_location(f"ci_{name}", ROOT / ".ci" / f"{name}.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    # Dataclasses look their module up there while they are made.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
