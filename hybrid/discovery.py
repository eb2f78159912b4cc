"""Discovery: finds an application by its name. A new file with a component in it is found without being
registered.

    bookstore          the shipped top-level packages `mediators` and `processors`
    shop               a package: all of its modules; an `app: App` in one of them wins over components
    shop.web:app       an App in a module
    path/to/shop.py    a file, with an App or with components

Modules whose name begins with an underscore or `test`, and `conftest`, are left out.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from hybrid.app import App
from hybrid.errors import ApplicationError
from hybrid.mediator.mediator import Mediator
from hybrid.mediator.simple import SimpleMediator
from hybrid.messages import Message, kebab
from hybrid.processor import Processor
from hybrid.resources import Resource
from hybrid.settings import Settings
from hybrid.topology import Component, message_class

BOOKSTORE = "bookstore"
SHIPPED = ("mediators", "processors")
"""The packages of the bookstore."""
FORMS = "Give a package (shop), an App in a module (shop.web:app), or a file (shop.py): --app, or HYBRID_APP"


@dataclass(slots=True)
class Found:
    """What stands in the modules of an application, in the order in which it was found."""

    apps: list[App] = field(default_factory=list)
    components: list[Component] = field(default_factory=list)
    resources: list[Resource] = field(default_factory=list)
    messages: list[type[Message]] = field(default_factory=list)

    def look_at(self, module: ModuleType) -> None:
        """Take what stands in a module; the same thing, imported into another one, counts once."""
        for thing in vars(module).values():
            place = self._place(thing)
            if place is not None and not any(known is thing for known in place):
                place.append(thing)

    def _place(self, thing: Any) -> list[Any] | None:
        if isinstance(thing, App):
            return self.apps
        if isinstance(thing, Processor | Mediator | SimpleMediator):
            return self.components
        if isinstance(thing, Resource):
            return self.resources
        return self.messages if message_class(thing) else None


def load(spec: str, **changes: Any) -> App:
    """Return the application of this name; `changes` are settings that win over its own (None is no change).

    Raises ApplicationError, which says what was looked for and what to do; SettingsError.
    """
    if ":" in spec:
        app = _attribute(spec)
    elif spec.endswith(".py") or "/" in spec:
        app = _chosen(spec, Path(spec).stem, [_file(Path(spec))], changes)
    else:
        packages = SHIPPED if spec == BOOKSTORE else (spec,)
        app = _package(spec, packages, changes)
    given = {name: value for name, value in changes.items() if value is not None}
    if given:
        Settings.load(**given)  # says what is wrong with them
        app.settings = app.settings.model_copy(update=given)
    return app


def _package(spec: str, packages: Sequence[str], changes: dict[str, Any]) -> App:
    modules = [module for name in packages for module in _modules(_imported(name, spec))]
    return _chosen(spec, spec.rpartition(".")[2], modules, changes)


def _chosen(spec: str, name: str, modules: Iterable[ModuleType], changes: dict[str, Any]) -> App:
    """Return the App that stands in the modules, or one made of what stands in them."""
    found = Found()
    for module in modules:
        found.look_at(module)
    if len(found.apps) > 1:
        names = ", ".join(app.name for app in found.apps)
        raise ApplicationError(
            f"{spec} has {len(found.apps)} applications ({names}): say which, as module:attribute"
        )
    if found.apps:
        return found.apps[0]
    if not found.components:
        raise ApplicationError(
            f"nothing found in {spec}: no Processor, Mediator or SimpleMediator stands in its modules."
            " `hybrid new app NAME` writes an application to begin with"
        )
    settings = Settings.load(**changes)
    return App(
        kebab(name), found.components, resources=found.resources, messages=found.messages, settings=settings
    )


def _modules(package: ModuleType) -> list[ModuleType]:
    """Return a package's modules, itself first; a plain module alone."""
    found = [package]
    for info in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package.__name__}."):
        last = info.name.rpartition(".")[2]
        if not last.startswith(("_", "test")) and last != "conftest":
            found += _modules(_imported(info.name, package.__name__))
    return found


def _imported(name: str, spec: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise _unknown(name, spec) from error
        raise _broken(name, error) from error
    except (Exception, SystemExit) as error:  # whatever a module does when it is imported
        raise _broken(name, error) from error


def _attribute(spec: str) -> App:
    name, _, attribute = spec.partition(":")
    module = _file(Path(name)) if name.endswith(".py") else _imported(name, name)
    found = getattr(module, attribute, None)
    if isinstance(found, App):
        return found
    apps = [key for key, value in vars(module).items() if isinstance(value, App)]
    there = f"its applications are: {', '.join(apps)}" if apps else "there is no App in this module"
    what = "is missing" if found is None else f"is a {type(found).__name__}, no App"
    raise ApplicationError(f"{spec}: {attribute or 'the attribute'} {what}; {there}")


def _file(path: Path) -> ModuleType:
    """Import a file as a module of its own name; what stands beside it can be imported too."""
    if not path.is_file():
        raise ApplicationError(f"no file {path} here ({Path.cwd()}). {FORMS}")
    name = path.stem if path.stem not in sys.modules else f"hybrid_app_{path.stem}"
    spec = spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise ApplicationError(f"{path} is no Python file. {FORMS}")
    module = module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks there for the names in annotations
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _broken(str(path), error) from error
    return module


def _unknown(name: str, spec: str) -> ApplicationError:
    near = get_close_matches(name, [info.name for info in pkgutil.iter_modules([str(Path.cwd())])], n=2)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return ApplicationError(
        f"no application {spec!r}: there is no package {name} here ({Path.cwd()}).{hint} {FORMS}"
    )


def _broken(name: str, error: BaseException) -> ApplicationError:
    """Return the error for a module that can't be imported: with the line of the user's that failed."""
    if isinstance(error, SyntaxError):
        place, text = f"{error.filename}:{error.lineno}", f"SyntaxError: {error.msg}"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        last = [frame for frame in frames if _is_users(frame.filename)] or frames
        place = f"{last[-1].filename}:{last[-1].lineno}"
        text = f"{type(error).__name__}: {error}"
    return ApplicationError(f"{name} can't be imported: {place}: {text}")


def _is_users(filename: str) -> bool:
    """Tell whether a frame is of the application: not Python's, not an installed package's, not ours."""
    ours = str(Path(__file__).parent)
    foreign = filename.startswith(("<", ours, sys.base_prefix + "/lib")) or "site-packages" in filename
    return not foreign
