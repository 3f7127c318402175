"""`python -m deploy.month`."""

import sys

from deploy.month.command import main

if __name__ == "__main__":
    sys.exit(main())
