"""Why the stack does not run: one clear line each, and an exit code of its own."""


class StackError(Exception):
    """One line for a person; `code` is what the command ends with."""

    code = 1


class PortTaken(StackError):
    """Another process has a port that a part needs."""

    code = 3


class TooLittleMemory(StackError):
    """The parts would not fit in what is available."""

    code = 4


class TooLittleDisk(StackError):
    """Documents and index would not fit."""

    code = 5


class PartEnded(StackError):
    """A part's process ended though nobody asked it to."""

    code = 6


class NotReady(StackError):
    """A part runs and did not become ready in time."""

    code = 7


class Interrupted(Exception):
    """A signal asked for the end. `code` is what a shell makes of that signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.code = 128 + number
