"""`python -m cli` is `hybrid`: how `hybrid run --processes` starts its children."""

from cli.main import main

if __name__ == "__main__":
    main()
