"""`python -m tests.rehearsal`."""

import sys

from tests.rehearsal.command import main

sys.exit(main())
