"""`python -m deploy.rehearsal`."""

import sys

from deploy.rehearsal.command import main

sys.exit(main())
