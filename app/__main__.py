"""`python -m cliptide.app` is `cliptide`."""

import sys

from cliptide.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
