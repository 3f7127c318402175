"""The options of every command that reads a folder of interactions, and what they stand for.

Knows argparse and DataConfig; knows nothing about what a command does with the data.
"""

import argparse
from pathlib import Path

from training.dataset import DataConfig


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Register them."""
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder with one .inter file and, optionally, items.tsv and *_feat.npy, or with "
        "RecBole's atomic files",
    )
    parser.add_argument(
        "--min-rating",
        type=float,
        help="ratings from here on are positive (default: 0.8 of the scale's top: 4 of 5 stars)",
    )
    parser.add_argument(
        "--split",
        choices=["auto", "label", "time", "global-time", "random"],
        default="auto",
        help="how validation and test are held out (default: by label if there is one, else by "
        "time, else at random)",
    )
    parser.add_argument(
        "--modalities", nargs="*", help="content modalities to use (default: all that are found)"
    )


def data_config(options: argparse.Namespace) -> DataConfig:
    """What was asked for; the command's `seed` is the split's too."""
    return DataConfig(
        folder=options.data,
        min_rating=options.min_rating,
        split=options.split,
        seed=options.seed,
        modalities=options.modalities,
    )


def data_options_of(options: argparse.Namespace) -> list[str]:
    """The words of a command line that asks for the same data."""
    words = ["--data", str(options.data)]
    if options.min_rating is not None:
        words += ["--min-rating", f"{options.min_rating:g}"]
    if options.split != "auto":
        words += ["--split", options.split]
    if options.modalities is not None:
        words += ["--modalities", *options.modalities]
    return words
