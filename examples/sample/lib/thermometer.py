"""The sensor; this one always feels fine."""

from units import celsius


def reading():
    return celsius(21)
