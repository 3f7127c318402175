"""`python -m service.keys ACTION` is `magnet keys ACTION`; it is kept for one more release."""

import sys

from service.auth.cli import keys

if __name__ == "__main__":
    sys.stderr.write("python -m service.keys is now magnet keys\n")
    keys(prog_name="magnet keys")
