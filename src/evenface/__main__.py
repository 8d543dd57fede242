"""`python -m evenface` is `evenface`."""

import sys

from evenface.cli.main import main


sys.exit(main())
