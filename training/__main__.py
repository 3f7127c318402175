"""Entry point of `python -m training`."""

import sys

from training.cli.app import main

sys.exit(main())
