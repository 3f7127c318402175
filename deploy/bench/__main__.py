"""`python -m deploy.bench`."""

import sys

from deploy.bench.command import main

sys.exit(main())
