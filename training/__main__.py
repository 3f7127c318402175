"""`python -m training COMMAND` is `magnet COMMAND`; it is kept for one more release."""

import runpy
import sys

sys.stderr.write(f"python -m training is now magnet; type: magnet {' '.join(sys.argv[1:2])} ...\n")
runpy.run_module("deploy.cli", run_name="__main__")
