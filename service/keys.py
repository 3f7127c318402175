"""`python -m service.keys ACTION` is `magnet keys ACTION`; it is kept for one more release."""

import sys

from service.auth.keys import keys_command

if __name__ == "__main__":
    sys.stderr.write("python -m service.keys is now magnet keys\n")
    keys_command(prog_name="magnet keys")
