"""The lock files hold exact versions and nothing else, and they follow pyproject.toml."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.gates.source import ROOT

PIN = re.compile(r"[a-z0-9-]+==[\w.+!]+( ; [^@/]+)?")
LOCKS = {"requirements.lock": "dev", "requirements-bench.lock": "bench"}


def pins(name):
    lines = (ROOT / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("lock", LOCKS)
def test_it_holds_exact_versions_only(lock):
    assert [line for line in pins(lock) if not PIN.fullmatch(line)] == []


@pytest.mark.parametrize(("lock", "extra"), LOCKS.items())
def test_it_follows_pyproject(lock, extra):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = map(Requirement, project["dependencies"] + project["optional-dependencies"][extra])
    locked = dict(line.partition(" ;")[0].split("==") for line in pins(lock))
    stale = [
        str(each) for each in wanted if locked.get(canonicalize_name(each.name), "0") not in each.specifier
    ]
    assert not stale, f"make lock: {lock} does not satisfy {stale}"
