"""New subscribers: the file, and the test beside it, that `hybrid new subscriber` writes."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from cli.samples import sample
from hybrid import App, Event
from hybrid.errors import ApplicationError
from hybrid.messages import Message, kebab


@dataclass(frozen=True, slots=True)
class NewSubscriber:
    """A subscriber to be written."""

    name: str
    spec: str
    classes: tuple[type[Message], ...]
    folder: Path
    belongs: bool
    """Whether the application finds it where it is written; else it is run by --with."""
    example: str
    problem: str
    """What is wrong with the example, "" for nothing."""

    def write(self) -> list[Path]:
        """Write the file and its test; return their paths. Raises ApplicationError."""
        module = self.name.replace("-", "_")
        paths = [self.folder / f"{module}.py", self.folder / f"test_{module}.py"]
        for path in paths:
            if path.exists():
                raise ApplicationError(f"{path} exists already: choose another name")
        source = files("cli") / "templates" / "subscriber"
        texts = [
            Template((source / name).read_text()).substitute(self._words(own))
            for name, own in (("subscriber.py.tmpl", True), ("test.py.tmpl", False))
        ]
        try:
            for path, text in zip(paths, texts, strict=True):
                path.write_text(text)
        except OSError as error:
            raise ApplicationError(f"{self.folder} can't be written: {error.strerror}") from error
        return paths

    def _words(self, own: bool) -> dict[str, str]:
        """Return what the templates leave open; `own`: for the subscriber, else for its test."""
        module = self.name.replace("-", "_")
        imports = (
            ["from hybrid import Context, Processor"]
            if own
            else ["from hybrid import discovery", "from hybrid.testing import TestBed"]
        )
        imports += [
            f"from {c.__module__} import {c.__name__}" for c in (self.classes if own else self.classes[:1])
        ]
        beside = f'        app = discovery.with_files(app, [Path(__file__).with_name("{module}.py")])\n'
        return {
            "name": self.name,
            "variable": module,
            "spec": self.spec,
            "types": ", ".join(cls.type_name for cls in self.classes),
            "classes": " | ".join(cls.__name__ for cls in self.classes),
            "imports": "\n".join(sorted(imports)),
            "example": self.example,
            "first": self.classes[0].__name__,
            "beside": "" if self.belongs else beside,
            "path_import": "" if self.belongs else "from pathlib import Path\n",
        }


def described(app: App, spec: str, name: str, types: list[str]) -> NewSubscriber:
    """Return a subscriber of an application. Raises ApplicationError, UnknownMessage."""
    if name in app.topology.names:
        raise ApplicationError(f"the application has a component {name} already: choose another name")
    classes = tuple(dict.fromkeys(app.topology.catalog.named(kebab(each)) for each in types))
    for cls in classes:
        if not issubclass(cls, Event):
            raise ApplicationError(
                f"{cls.type_name} is a command: one processor handles it; listen to an event"
            )
    here = Path.cwd()
    belongs = app.folder is not None and app.folder.resolve().is_relative_to(here)
    folder = app.folder.resolve() if app.folder and belongs else here
    values, problem = sample(classes[0])
    arguments = ", ".join(f"{field}={value!r}" for field, value in values.items())
    return NewSubscriber(name, spec, classes, folder, belongs, f"{classes[0].__name__}({arguments})", problem)
