"""The errors of the PC's side, each with the exit code that the `ota` command gives for it.

HostError           1   the release or the tree is bad, or was refused
├── ConfigError     2   usage or configuration error, on the command line or in ota.toml
└── OutsideError    3   a board, a port, a program or the file system did not answer as it must
"""


class HostError(Exception):
    code: int = 1


class ConfigError(HostError):
    code = 2


class OutsideError(HostError):
    code = 3
