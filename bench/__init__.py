"""The benchmark: this library beside other updaters and beside the limit, on real MicroPython, littlefs and nginx."""
