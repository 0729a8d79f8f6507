"""Puts files of the PC, below URL, on the flash: a board as somebody set it up."""

import os


def main():
    for name in os.getenv("NAMES").split("\n"):
        parts = name.split("/")[:-1]
        for i in range(len(parts)):
            try:
                os.mkdir("/".join(parts[: i + 1]))
            except OSError:
                pass
        with open(os.getenv("URL") + "/" + name, "rb") as source, open(name, "wb") as target:
            target.write(source.read())
