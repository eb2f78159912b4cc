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
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from hybrid.app import App
from hybrid.errors import ApplicationError
from hybrid.messages import Message, kebab
from hybrid.processor import Processor
from hybrid.resources import Resource
from hybrid.settings import Settings
from hybrid.topology import Component, message_class
from hybrid.workflow import WorkflowProcessor

BOOKSTORE = "bookstore"
PROCESSORS = "processors"
SHIPPED = ("mediators", PROCESSORS)
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
        if isinstance(thing, Component):
            return self.components
        if isinstance(thing, Resource):
            return self.resources
        return self.messages if message_class(thing) else None


def load(spec: str, *, without: Collection[Path] = (), **changes: Any) -> App:
    """Return the application of this name; `changes` are settings that win over its own (None is no change).

    The files of its packages that are `without` (whole paths) are left out.

    Raises ApplicationError, which says what was looked for and what to do; SettingsError.
    """
    if ":" in spec:
        app = _attribute(spec)
    elif spec.endswith(".py") or "/" in spec:
        app = _chosen(spec, Path(spec).stem, [_file(Path(spec))], changes)
    else:
        packages = SHIPPED if spec == BOOKSTORE else (spec,)
        app = _package(spec, packages, without, changes)
    given = {name: value for name, value in changes.items() if value is not None}
    if given:
        Settings.load(**given)  # says what is wrong with them
        app.settings = app.settings.model_copy(update=given)
    return app


def with_files(app: App, paths: Iterable[Path]) -> App:
    """Return the application with the processors that stand in these files besides.

    A file in a package that is loaded is imported as a module of it, any other one under its own name.
    Raises ApplicationError, which names the file, when it can't be imported, has no processor that the
    application has not, or one that does not fit in.
    """
    for path in paths:
        found = Found()
        found.look_at(_beside(path))
        new = [component for component in found.components if component not in app.components]
        if not any(isinstance(component, Processor | WorkflowProcessor) for component in new):
            known = ", ".join(component.name for component in found.components)
            why = f"the application has {known} already" if known else "no Processor stands in it"
            raise ApplicationError(
                f"{path}: {why}. A subscriber is a Processor with a handler in such a file"
            )
        if others := [c.name for c in new if not isinstance(c, Processor | WorkflowProcessor)]:
            raise ApplicationError(f"{path}: {others[0]} is a mediator; such a file may add processors only")
        app = app.extended(new, resources=found.resources, messages=found.messages)
        try:
            _ = app.topology  # checks it
        except ApplicationError as error:
            raise ApplicationError(f"{path}: {error}") from error
    return app


def looked_at(name: str) -> bool:
    """Tell whether a module of this name (without its package's) may have components."""
    return not name.startswith(("_", "test")) and name != "conftest"


def _package(spec: str, packages: Sequence[str], without: Collection[Path], changes: dict[str, Any]) -> App:
    modules = [module for name in packages for module in _modules(_imported(name, spec), without)]
    app = _chosen(spec, spec.rpartition(".")[2], modules, changes)
    if not any(thing is app for module in modules for thing in vars(module).values()):
        app.folder = _folder(packages)
    return app


def _folder(packages: Sequence[str]) -> Path | None:
    """Return the folder of the processors: where a new file is found at the next start."""
    for name in (*packages, *(f"{package}.{PROCESSORS}" for package in packages)):
        if name.rpartition(".")[2] == PROCESSORS and (module := sys.modules.get(name)):
            return next((Path(place).resolve() for place in getattr(module, "__path__", ())), None)
    return None


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


def _modules(package: ModuleType, without: Collection[Path] = ()) -> list[ModuleType]:
    """Return a package's modules, itself first; a plain module alone."""
    found = [package]
    for info in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package.__name__}."):
        last = info.name.rpartition(".")[2]
        place = Path(getattr(info.module_finder, "path", ""), f"{last}.py").resolve()
        if looked_at(last) and place not in without:
            found += _modules(_imported(info.name, package.__name__), without)
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


def _beside(path: Path) -> ModuleType:
    """Import a file that stands beside the application, or in one of its packages."""
    if not path.is_file():
        raise ApplicationError(
            f"no file {path} here ({Path.cwd()}): give a Python file with a Processor in it"
        )
    place = path.resolve()
    for name, module in list(sys.modules.items()):
        folders = getattr(module, "__dict__", {}).get("__path__") or ()
        if any(Path(folder).resolve() == place.parent for folder in folders):
            return _imported(f"{name}.{path.stem}", str(path))
    return _file(path)


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
