"""``python -m livf``: the same as the ``livf`` command."""

import sys

from livf.cli import main

if __name__ == "__main__":
    sys.exit(main())
