"""`python -m lakeloop.cli`: the same as `lakeloop`."""

import sys

from lakeloop.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
