"""FastAPI without the validators of its OpenAPI models, which are a tenth of the server's imports.

They describe a document that hardly anybody asks for. So the classes are made with a base class that postpones the
validators, and pydantic makes them when the document is first asked for. Where FastAPI was imported before, nothing is
done.
"""

import importlib
import sys
from importlib.util import find_spec, module_from_spec

import pydantic

PACKAGE = "fastapi"
BEFORE, MODELS = (f"{PACKAGE}._compat", f"{PACKAGE}.logger"), f"{PACKAGE}.openapi.models"
"""What the module of the models imports of the package, and that module."""


class Postponed(pydantic.BaseModel):
    """A model whose validator is made when it is first used."""

    model_config = pydantic.ConfigDict(defer_build=True)

    @classmethod
    def model_rebuild(cls, **_: object) -> bool | None:
        """Nothing: the module rebuilds its models once all are defined. Removed afterwards."""
        return None


def _import_package() -> None:
    spec = find_spec(PACKAGE)
    if spec is None or spec.loader is None:
        raise ImportError(f"no package {PACKAGE}")
    package = sys.modules[PACKAGE] = module_from_spec(spec)
    try:
        for name in BEFORE:
            importlib.import_module(name)
        _import_models()
        spec.loader.exec_module(package)
    except BaseException:
        del sys.modules[PACKAGE]
        raise


def _import_models() -> None:
    usual = pydantic.BaseModel
    pydantic.BaseModel = Postponed  # type: ignore[misc]
    try:
        importlib.import_module(MODELS)
    finally:
        pydantic.BaseModel = usual  # type: ignore[misc]
        del Postponed.model_rebuild


if PACKAGE not in sys.modules:
    _import_package()
