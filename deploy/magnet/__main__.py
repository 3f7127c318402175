"""Entry point of `python -m deploy.magnet`."""

import sys

from deploy.magnet.command import main

sys.exit(main())
