"""A kit for tests of applications: on a real server, with time that can be skipped."""

from hybrid.testing.bed import TestBed

__all__ = ["TestBed"]
