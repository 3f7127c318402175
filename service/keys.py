"""The former name of `magnet keys`; it goes with the next release."""

import sys

from service.auth.cli import main

if __name__ == "__main__":
    sys.stderr.write("magnet: `python -m service.keys` is now `magnet keys`\n")
    sys.exit(main())
