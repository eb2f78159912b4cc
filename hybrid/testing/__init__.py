"""A kit for tests of applications: on a real server, with time that can be skipped."""

from hybrid.testing.bed import TestBed
from hybrid.testing.recorded import replay

__all__ = ["TestBed", "replay"]
