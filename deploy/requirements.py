"""The requirements of some extras, one per line, for images that do not install the project.

    python deploy/requirements.py service > requirements.txt

It runs on a bare Python, before anything is installed.
"""

import argparse
import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, extras: list[str]) -> list[str]:
    """What the project needs with these extras; KeyError for an extra that it does not have."""
    project = tomllib.loads(pyproject.read_text())["project"]
    optional = [line for extra in extras for line in project["optional-dependencies"][extra]]
    return sorted({*project["dependencies"], *optional})


def main() -> None:
    """Print the requirements of the extras named on the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("extras", nargs="*", metavar="EXTRA")
    pyproject = Path(__file__).resolve().parents[1] / "pyproject.toml"
    for line in requirements(pyproject, parser.parse_args().extras):
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
