"""`python -m deploy.benchmarks.lifecycle`."""

import sys

from deploy.benchmarks.lifecycle.command import main

if __name__ == "__main__":
    sys.exit(main())
