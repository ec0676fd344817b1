"""``python -m entense``: the same as ``entense``."""

from entense.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
