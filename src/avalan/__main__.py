"""`python -m avalan`."""

import sys

from avalan.cli import main

if __name__ == "__main__":
    sys.exit(main())
