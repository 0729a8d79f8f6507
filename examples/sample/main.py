"""A thermometer that updates itself."""

import ota
import wifi
from ota import HttpTransport, OtaError, Updater
from settings import URL
from thermometer import reading

VERSION = "v1.0.0"

wifi.connect()
print("sample", VERSION, reading())
ota.confirm()  # it reads and it is online: this release works

try:
    Updater(HttpTransport(URL)).run()  # resets the board when there is a new release
    print("up to date")
except OtaError as e:
    print("no update:", e)
