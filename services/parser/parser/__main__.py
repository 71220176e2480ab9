"""`python -m parser`."""

import sys

from pydantic import ValidationError

from bulkhead.app import serve, unix_socket
from parser import sockets
from parser.main import create
from parser.settings import ParserSettings


def main() -> None:
    """Serve the parser on its socket, with the settings of the environment."""
    try:
        settings = ParserSettings()
        settings.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        sockets.clear(settings.sockets)
        listener = unix_socket(sockets.own(settings.sockets))
    except ValidationError as error:
        problem = error.errors()[0]
        sys.exit(f"parser: PARSER_{str(problem['loc'][0]).upper()}: {problem['msg']}")
    except OSError as error:
        sys.exit(f"parser: its socket cannot be made: {error.strerror or error}")
    serve(create(settings), settings, sockets=[listener], ws="none")


if __name__ == "__main__":
    main()
