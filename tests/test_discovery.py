"""Discovery: an application by its name."""

import sys
from itertools import count
from pathlib import Path
from textwrap import dedent

import pytest

from hybrid import App
from hybrid.discovery import load
from hybrid.errors import ApplicationError, SettingsError

number = count()
PROCESSOR = """
    from hybrid import Event, Processor
    class {cls}(Event):
        n: int
    {name} = Processor("{name}")
    @{name}.on({cls})
    async def on(event: {cls}) -> None: ...
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the modules of a package with a name of its own; return the name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)

    def make(**modules):
        name = f"found_{next(number)}"
        for module, text in {"__init__": "", **modules}.items():
            path = tmp_path / name / f"{module.replace('_dot_', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        return name

    yield make
    for name in set(sys.modules) - before:
        if name.startswith(("found_", "hybrid_app_")):
            del sys.modules[name]


def processor(name, cls):
    return PROCESSOR.format(name=name, cls=cls)


def test_the_bookstore():
    app = load("bookstore")
    assert app.name == "bookstore"
    assert {"customer", "order", "payment", "loyalty"} <= set(app.topology.names)
    assert len(app.resources) >= 2


def test_all_modules_of_a_package(write):
    name = write(
        processors_dot___init__="",
        processors_dot_one=processor("one", "One"),
        processors_dot_deep_dot___init__="",
        processors_dot_deep_dot_two=processor("two", "Two"),
        mediators=processor("three", "Three"),
    )
    app = load(name)
    assert sorted(app.topology.names) == ["one", "three", "two"]
    assert app.name == name.replace("_", "-")
    assert {cls.type_name for cls in app.messages} == {"one", "two", "three"}


def test_the_same_thing_in_two_modules_counts_once(write):
    name = write(a=processor("one", "One"))
    Path(name, "b.py").write_text(f"from {name}.a import one, One\n")
    assert load(name).topology.names == ["one"]


def test_private_modules_and_tests_are_left_out(write):
    name = write(
        a=processor("one", "One"), _b="1 / 0", test_c="1 / 0", conftest="1 / 0", tests_dot___init__="1 / 0"
    )
    assert load(name).topology.names == ["one"]


def test_an_app_wins(write):
    name = write(
        web='from hybrid import App, Processor\napp = App("web", [Processor("p")])', a=processor("one", "One")
    )
    assert load(name).name == "web"
    assert load(f"{name}.web:app").name == "web"


def test_two_apps_are_one_too_many(write):
    name = write(web='from hybrid import App\na = App("a", [])\nb = App("b", [])')
    with pytest.raises(ApplicationError, match=r"has 2 applications \(a, b\): say which"):
        load(name)


def test_a_file(write, tmp_path):
    name = write()
    path = tmp_path / f"{name}x.py"
    path.write_text(dedent(processor("one", "One")))
    for spec in (f"{name}x.py", str(path)):
        app = load(spec)
        assert isinstance(app, App)
        assert app.topology.names == ["one"]


def test_a_workflow_processor_is_a_component(write):
    fixing = """
        from hybrid import WorkflowProcessor
        from {name}.a import One
        fixer = WorkflowProcessor("fixer")
        @fixer.repairs(One)
        def mend(failed): ...
    """
    name = write(a=processor("one", "One"))
    Path(name, "b.py").write_text(dedent(fixing.format(name=name)))
    assert load(name).topology.names == ["one", "fixer"]


def test_a_file_imports_what_stands_beside_it(write, tmp_path):
    name = write()
    place = tmp_path / "other"
    place.mkdir()
    (place / f"{name}beside.py").write_text(dedent(processor("one", "One")))
    (place / f"{name}main.py").write_text(f"from {name}beside import one\n")
    assert load(f"other/{name}main.py").topology.names == ["one"]


def test_settings_win_over_its_own(write):
    name = write(a=processor("one", "One"))
    app = load(name, domain="other", redis_url=None)
    assert app.settings.domain == "other"
    with pytest.raises(SettingsError, match="HYBRID_DOMAIN"):
        load(name, domain="a b")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nowhere_x", r"no application 'nowhere_x': there is no package nowhere_x here .*HYBRID_APP"),
        ("nowhere_x.sub", "no application 'nowhere_x.sub'"),
        ("nowhere.py", r"no file nowhere.py here"),
        ("some/where", r"no file some/where here"),
        ("json:loads", "json:loads: loads is a function, no App; there is no App in this module"),
        ("json:nope", "nope is missing"),
        ("json", "nothing found in json: .* `hybrid new app NAME`"),
        ("nowhere_x:app", "no application 'nowhere_x'"),
    ],
)
def test_what_is_not_there_is_said(write, spec, says):
    with pytest.raises(ApplicationError, match=says):
        load(spec)


def test_a_name_that_looks_like_one_is_suggested(write):
    name = write(a=processor("one", "One"))
    with pytest.raises(ApplicationError, match=f"Did you mean {name}"):
        load(name + "x")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\ny = x / 0\n", r"broken.py:2: ZeroDivisionError: division by zero"),
        ("def f(:\n", r"broken.py:1: SyntaxError"),
        ("import nowhere_x\n", r"broken.py:1: ModuleNotFoundError: No module named 'nowhere_x'"),
        ("import sys\nsys.exit(3)\n", r"broken.py:2: SystemExit: 3"),
        (
            "from hybrid import Processor\n\np = Processor('No Name')\n",
            r"broken.py:3: ApplicationError: 'No Name'",
        ),
    ],
)
def test_a_module_that_fails_is_named_with_file_line_and_error(write, text, says):
    name = write(broken=text)
    with pytest.raises(ApplicationError, match=f"{name}.broken can't be imported: .*{says}"):
        load(name)
