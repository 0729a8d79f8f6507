"""The network, on boards that have Wi-Fi."""

import time

from settings import WIFI


def connect():
    """Return once the board is online."""
    import network

    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    if not wlan.isconnected():
        wlan.connect(*WIFI)
    while not wlan.isconnected():
        time.sleep_ms(100)
