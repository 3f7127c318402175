"""`python -m deploy.benchmarks.serving`."""

import sys

from deploy.benchmarks.serving.command import main

sys.exit(main())
