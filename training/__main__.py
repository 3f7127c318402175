"""`python -m training COMMAND` is `magnet COMMAND`; it is kept for one more release."""

import runpy
import sys

typed = " ".join(["magnet", *sys.argv[1:2], "..."])
sys.stderr.write(f"python -m training is now magnet; type: {typed}\n")
runpy.run_module("deploy.cli", run_name="__main__")
