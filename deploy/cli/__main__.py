"""Entry point of `python -m deploy.cli`."""

import sys

from deploy.cli.app import main

sys.exit(main())
