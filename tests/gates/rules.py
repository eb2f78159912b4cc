"""The rules on imports, each a pure function from a source tree to the list of its offences."""

from pathlib import Path

from tests.gates.layers import DOORS, HYBRID, PACKAGES, STRANGERS
from tests.gates.source import Import, imports, local_imports, modules, within

ROW = {name: number for number, names in enumerate(HYBRID) for name in names}
OURS = sorted({place.partition(".")[0] for place in PACKAGES})


def upward(root: Path) -> list[str]:
    """Imports inside hybrid that go up, and modules of hybrid that have no place in the layers."""
    known = modules(root, "hybrid")
    homeless = sorted({_part(name) for name in known} - set(ROW) - {""})
    offences = [
        f"hybrid.{name} has no layer: give it a row in HYBRID, in tests/gates/layers.py" for name in homeless
    ]
    for found in _all(root, "hybrid"):
        source, target = _part(found.source), _part(found.target)
        if not within(found.target, "hybrid") or source == "":  # hybrid/__init__.py is the roof: it sees all
            continue
        if target == "":
            offences.append(
                f"{found.where}: imports the roof (hybrid) from below: name the module that has it"
            )
        elif ROW.get(target, len(HYBRID)) < ROW.get(source, 0):
            offences.append(f"{found.where}: hybrid.{source} is below hybrid.{target}, which it imports")
    return offences


def strangers(root: Path) -> list[str]:
    """Imports between packages that PACKAGES does not allow; among strangers, between modules too."""
    offences = []
    for found in _all(root, *OURS):
        if found.target.partition(".")[0] not in OURS:
            continue
        home = max((place for place in PACKAGES if within(found.source, place)), key=len)
        own = ".".join(found.source.split(".")[:2]) if home in STRANGERS else home
        if not any(within(found.target, place) for place in (own, *PACKAGES[home])):
            offences.append(
                f"{found.where}: {found.source} must not know {found.target} (tests/gates/layers.py)"
            )
    return offences


def doors(root: Path) -> list[str]:
    """Imports of an outside package elsewhere than at its one door."""
    return [
        f"{found.where}: {package} is imported in {door} only"
        for found in _all(root, *OURS)
        for package, door in DOORS.items()
        if within(found.target, package) and not within(found.source, door)
    ]


def hidden(root: Path) -> list[str]:
    """Imports inside functions."""
    return sorted(
        f"{place}: import inside a function"
        for module in modules(root).values()
        for place in local_imports(module)
    )


def cycles(root: Path) -> list[str]:
    """Import cycles between modules, those for types only included, each as one line `a → b → a`."""
    known = modules(root)
    graph = {
        name: {i.target for i in imports(module, known)} & set(known) - {name}
        for name, module in known.items()
    }
    found, done = [], set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            found.append(" → ".join((*path[path.index(name) :], name)))
        elif name not in done:
            for target in sorted(graph[name]):
                visit(target, (*path, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())
    return found


def _all(root: Path, *packages: str) -> list[Import]:
    known = modules(root, *packages)
    return [found for module in known.values() for found in imports(module, known)]


def _part(name: str) -> str:
    """The row's name: "streams" for hybrid.streams.scripts, "" for hybrid itself."""
    return [*name.split("."), ""][1]
