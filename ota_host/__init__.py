"""The side of a PC: publishing, signing, serving, and test boards. Nothing of this goes on a board."""
