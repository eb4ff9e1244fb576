"""Choices on a command line."""

import argparse


def some_of(known):
    """Parses names separated by commas. Each must be known."""

    def parse(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(known)}")
        return names

    return parse
