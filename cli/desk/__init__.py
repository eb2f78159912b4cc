"""The desk, for `hybrid desk` and `hybrid failed`."""
