"""What `ota --help` calls the values of options and arguments, and usage errors in one line."""

from typing import Any

import typer

# The base of what typer raises for a command line that it does not understand.
UsageError: Any = typer.BadParameter.__base__

# The name of a parameter -> what its value is.
_VALUES = {
    "VERSION": "version tag origin",
    "FOLDER": "source destination path",
    "FILE": "config_file password_file draft manifest signature out root link flash uf2",
    "KEY": "key root_key targets_key online_key old new",
    "DAYS": "expires root_days targets_days snapshot_days timestamp_days",
    "NAME": "project channel platform use",
    "BYTES": "block page prog",
    "NUMBER": "threshold cut_at keep",
    "PERCENT": "rollout",
    "ADDRESS": "host",
    "PORT": "port",
    "BITS": "bits",
    "KIB": "size",
    "HEAP": "heap",
    "MODULE:CLASS": "storage",
}
METAVARS = {name: value for value, names in _VALUES.items() for name in names.split()}

# Arguments are called by their own name, but for these.
_ARGUMENTS = {"dest": "FOLDER"}


def name_values(command: Any) -> Any:
    """Give every parameter of a command, or of a group's commands, a metavar that a reader understands."""
    for inner in getattr(command, "commands", {}).values():
        name_values(inner)
    for param in command.params:
        if param.metavar is not None or getattr(param, "is_flag", False):
            continue
        if param.param_type_name == "option":
            param.metavar = METAVARS.get(param.name)
            continue
        param.metavar = _ARGUMENTS.get(param.name, param.name.upper())
        descriptor = getattr(param, "type_descriptor", None)
        if not (descriptor and descriptor.is_choice):
            param.display_type = lambda ctx: ""  # typer would add the Python type
    return command


def one_line(error: Any) -> str:
    """What a UsageError says, and where to read more."""
    message = error.format_message().strip().rstrip(".")
    where = error.ctx.command_path if error.ctx else "ota"
    return f"{message[:1].lower()}{message[1:]}; see {where} --help"
