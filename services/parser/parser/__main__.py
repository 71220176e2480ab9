"""`python -m parser`."""

import socket
import sys

from pydantic import ValidationError

from bulkhead.app import serve, unix_socket
from parser import sockets
from parser.main import create
from parser.settings import ParserSettings


def main() -> None:
    """Serve the parser on its socket or its port, with the settings of the environment."""
    try:
        settings = ParserSettings()
        app = create(settings)
        if settings.host is None:
            settings.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
            sockets.clear(settings.sockets)
            listener = unix_socket(sockets.own(settings.sockets))
        else:
            family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
            listener = socket.create_server((settings.host, settings.port), family=family)
    except ValidationError as error:
        problem = error.errors()[0]
        sys.exit(f"parser: PARSER_{str(problem['loc'][0]).upper()}: {problem['msg']}")
    except ValueError as error:
        sys.exit(f"parser: PARSER_PLUGINS: {error}")
    except OSError as error:
        sys.exit(f"parser: it cannot listen: {error.strerror or error}")
    serve(app, settings, sockets=[listener], ws="none")


if __name__ == "__main__":
    main()
