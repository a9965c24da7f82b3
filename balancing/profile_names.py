"""Which profile does an operator mean by a name or dotted path?"""

from __future__ import annotations

import re
from importlib import import_module

from django.utils.module_loading import import_string

from balancing.policies.profile import Profile
from llmqueue_project.config import configuration

_NAME = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*\Z")


class UnknownProfile(ValueError):
    """There is no profile of this name in the allowed modules."""


def resolve(name: str) -> Profile:
    """The profile of a name or dotted path.

    Only the modules in the setting `balancing.profile_modules` are imported: names come from forms
    and APIs, and importing a module runs its code.

    Raises:
        UnknownProfile
    """
    allowed = configuration().balancing.profile_modules
    module, _, last = name.rpartition(".")
    if not _NAME.match(name) or (module and module not in allowed):
        raise UnknownProfile(f"{name[:80]!r} is not in {', '.join(allowed)}")
    for folder in [module] if module else allowed:
        try:
            found = import_string(f"{folder}.{last}")
        except ImportError:
            continue
        if isinstance(found, Profile):
            return found
    raise UnknownProfile(f"there is no profile {name[:80]!r}: {', '.join(names())}")


def names() -> list[str]:
    """The names of all profiles in the allowed modules."""
    found: set[str] = set()
    for module in configuration().balancing.profile_modules:
        try:
            contents = vars(import_module(module))
        except ImportError:
            continue
        found |= {name for name, value in contents.items() if isinstance(value, Profile)}
    return sorted(found)
