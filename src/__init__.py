"""Makes `from src.sssd...` work from the repository root, as in SSSD-ECG, whether `sssd` is installed or not.

`src.sssd` is another name for `sssd`: every module below it is the module of that name in `sssd`, so that there is
one copy of every class. If `sssd` was not imported yet, the one in this folder is.
"""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

NAME = f"{__name__}.sssd"


class _Alias(MetaPathFinder, Loader):
    """Finds src.sssd.NAME and gives sssd.NAME in its place."""

    def find_spec(self, fullname, path=None, target=None):  # type: ignore[no-untyped-def]
        if fullname != NAME and not fullname.startswith(NAME + "."):
            return None
        real = fullname.removeprefix(f"{__name__}.")
        found = find_spec(real)
        if found is None:
            return None
        package = found.submodule_search_locations is not None
        return ModuleSpec(fullname, self, loader_state=real, is_package=package)

    def create_module(self, spec):  # type: ignore[no-untyped-def]
        module = import_module(spec.loader_state)
        spec.loader_state = module.__spec__  # the import system is about to replace it
        return module

    def exec_module(self, module):  # type: ignore[no-untyped-def]
        module.__spec__ = module.__spec__.loader_state

    def get_code(self, fullname):  # type: ignore[no-untyped-def]
        """The code that `python -m` runs."""
        real = fullname.removeprefix(f"{__name__}.")
        return find_spec(real).loader.get_code(real)


sys.path.insert(0, str(Path(__file__).parent))
sys.meta_path.insert(0, _Alias())
