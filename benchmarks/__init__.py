"""Ours against the floors and the rivals, under one load and one kind of server: see README.md here."""
