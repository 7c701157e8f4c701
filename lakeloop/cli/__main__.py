"""`python -m lakeloop.cli`: the same as `lakeloop`."""

import sys

from lakeloop.cli.main import main

sys.exit(main())
