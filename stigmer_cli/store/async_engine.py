"""SQLAlchemy's asynchronous engines without its object-relational mapper, which is a tenth of the server's imports.

The package `sqlalchemy.ext.asyncio` imports the mapper for its sessions, and nothing here has a session. So the package
is made here, with its module `engine` only, unless somebody has imported the whole of it before.
"""

import importlib
import sys
from importlib.util import find_spec, module_from_spec

PACKAGE = "sqlalchemy.ext.asyncio"


def _import_engines() -> None:
    spec = find_spec(PACKAGE)
    if spec is None:
        raise ImportError(f"no package {PACKAGE}")
    package = sys.modules[PACKAGE] = module_from_spec(spec)  # its own code is not run
    engine = importlib.import_module(f"{PACKAGE}.engine")
    for name in ("AsyncConnection", "AsyncEngine", "create_async_engine"):
        setattr(package, name, getattr(engine, name))


if PACKAGE not in sys.modules:
    _import_engines()

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine  # noqa: E402 - made above

__all__ = ("AsyncConnection", "AsyncEngine", "create_async_engine")
