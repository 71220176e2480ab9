"""`python -m example_documents`: take the documents in, say where the page is, end."""

import sys

import httpx2
from pydantic import ValidationError

from example_documents.settings import ExamplesSettings
from example_documents.take_in import ExamplesError, missing, take_in

_WHERE = """\
  ask first        When does the nightly backup start?
{numbers}  in a browser     {page}
  the key for it   docker compose exec retriever cat /run/secrets/api-key"""

_NUMBERS = """\
  its numbers      {grafana} (user admin)
  its password     docker compose exec grafana cat /run/secrets/admin-password
"""


def say(line: str) -> None:
    """A line for whoever follows the log."""
    print(line, flush=True)  # noqa: T201


def run(settings: ExamplesSettings, api: httpx2.Client) -> None:
    """Everything; a stack that lacks a part is described as it is. Raises `ExamplesError`."""
    if settings.wanted:
        say(take_in(api, settings.folder, settings.patience))
    else:
        say("no examples are wanted")
    down = missing(api, settings.patience)
    say(f"The stack is up, but for {'; '.join(down)}" if down else "The stack is up.")
    if settings.page_url:
        numbers = _NUMBERS.format(grafana=settings.grafana_url) if settings.observed() else ""
        say(_WHERE.format(page=settings.page_url, numbers=numbers))


def main() -> None:
    """Run with the settings of the environment."""
    try:
        settings = ExamplesSettings()
        key = settings.api_key_file.read_text(encoding="ascii").strip()
        headers = {"Authorization": f"Bearer {key}"}
        url = str(settings.retriever_url)
        with httpx2.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as api:
            run(settings, api)
    except ValidationError as error:
        problem = error.errors()[0]
        sys.exit(f"examples: EXAMPLES_{str(problem['loc'][0]).upper()}: {problem['msg']}")
    except (ExamplesError, httpx2.HTTPError) as error:
        sys.exit(f"examples: {error or type(error).__name__}")
    except OSError as error:
        sys.exit(f"examples: {error.filename}: {error.strerror}")


if __name__ == "__main__":
    main()
