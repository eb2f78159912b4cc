"""Imports go down only, in no circle, and at the top of the file. The layers are in layers.py."""

from pathlib import Path

import pytest

from tests.gates import rules
from tests.gates.source import PACKAGES, ROOT

RULES = (rules.upward, rules.strangers, rules.doors, rules.hidden, rules.cycles)

# For each rule a tree that breaks it in one place, and what the rule then says.
BROKEN = [
    (rules.upward, {"hybrid/codec.py": "from hybrid.app import App"}, "hybrid.codec is below hybrid.app"),
    (
        rules.upward,
        {"hybrid/broker/a.py": "from ..runtime import b"},
        "hybrid.broker is below hybrid.runtime",
    ),
    (rules.upward, {"hybrid/codec.py": "from hybrid import App"}, "imports the roof"),
    (rules.upward, {"hybrid/novel.py": ""}, "hybrid.novel has no layer"),
    (
        rules.strangers,
        {"processors/a.py": "from processors.b import b", "processors/b.py": ""},
        "processors.b",
    ),
    (rules.strangers, {"processors/a.py": "from . import b", "processors/b.py": ""}, "processors.b"),
    (rules.strangers, {"processors/a.py": "import mediators.hard"}, "mediators.hard"),
    (rules.strangers, {"processors/messages/a.py": "import processors.database"}, "processors.database"),
    (rules.strangers, {"mediators/a.py": "from processors.payment import payment"}, "processors.payment"),
    (rules.strangers, {"mediators/a.py": "from mediators.b import b"}, "mediators.b"),
    (rules.strangers, {"hybrid/a.py": "import processors.messages"}, "processors.messages"),
    (rules.strangers, {"hybrid/a.py": "import cli.main"}, "cli.main"),
    (
        rules.doors,
        {"hybrid/broker/a.py": "from redis.asyncio import Redis"},
        "redis is imported in hybrid.streams",
    ),
    (rules.doors, {"cli/a.py": "import redis"}, "redis is imported in hybrid.streams"),
    (
        rules.hidden,
        {"cli/a.py": "async def f():\n    if 1:\n        import os"},
        "a.py:3: import inside a function",
    ),
    (rules.cycles, {"cli/a.py": "import cli.b", "cli/b.py": "from cli import a"}, "cli.a → cli.b → cli.a"),
]

SOUND = {
    "hybrid/__init__.py": "from hybrid.app import App",
    "hybrid/app.py": "import redis_lookalike\nfrom hybrid.errors import HybridError",
    "hybrid/errors.py": "",
    "hybrid/streams/__init__.py": "from . import door",
    "hybrid/streams/door.py": "import redis.asyncio",
    "processors/messages/a.py": "from hybrid import Event",
    "processors/a.py": "import hybrid\nfrom processors.messages.a import A\nimport processors.database",
    "processors/database.py": "import sqlalchemy",
    "mediators/a.py": "from hybrid import Mediator\nfrom processors.messages import a",
    "cli/main.py": "from mediators import a\nfrom processors import a as b",
}


def plant(root: Path, tree: dict[str, str]) -> Path:
    """Write these files."""
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_this_tree_is_sound(rule):
    offences = rule(ROOT)
    assert not offences, "\n" + "\n".join(offences)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_gates_look_at_something(package):
    assert list((ROOT / package).rglob("*.py")), (
        f"{package}/ has no code, so the gates that look at it check nothing"
    )


@pytest.mark.parametrize(("rule", "tree", "says"), BROKEN)
def test_each_rule_can_fail(rule, tree, says, tmp_path):
    offences = rule(plant(tmp_path, tree))
    assert len(offences) == 1
    assert says in offences[0]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_sound_tree_passes(rule, tmp_path):
    assert rule(plant(tmp_path, SOUND)) == []
