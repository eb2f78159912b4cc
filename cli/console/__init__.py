"""The rich side of the CLI: the live console, and the waterfall of one trace."""
