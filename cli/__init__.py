"""The command line: `hybrid`, a typer application, one file per command."""
