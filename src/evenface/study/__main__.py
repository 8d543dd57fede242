"""`python -m evenface.study`: one run of a study, told as JSON on the standard input; what `run_locally` starts."""

from __future__ import annotations

import sys

from evenface.study.work import main


sys.exit(main())
