# For the firmware of a board: what `make FROZEN_MANIFEST=…` freezes, or `include()` in a manifest of yours.
# docs/how-to/freeze-the-library.md says how.
metadata(description="Over-the-air updates", version="0.1.0", license="MIT")
package("ota")
module("micropython_ota.py")
