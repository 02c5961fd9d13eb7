"""`python -m flatdirs.tune` is `flatdirs tune`. Imported, this module is `flatdirs.tune(train, start, …)`, as its call.

`flatdirs.tune` is the function of flatdirs/api.py until something imports this module; then it is this module.
"""

import sys
from types import ModuleType
from typing import Any

from flatdirs.cli.tune import main


class _Callable(ModuleType):
    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """See flatdirs/api.py."""
        from flatdirs.api import tune

        return tune(*arguments, **settings)


if __name__ == "__main__":
    main()
else:
    sys.modules[__name__].__class__ = _Callable
