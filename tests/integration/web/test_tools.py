"""Answers with tools in the browser: the real retriever, the real file and database servers."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Window
from database import sample_database
from desk import write_list
from playwright.sync_api import expect
from rig import Api, running
from scripted_llm import ScriptedLLM, Turn
from serving import free_port
from tool_http import tool_serving

from bulkhead.tool_tokens import new_signing_key
from mcp_database.main import create as create_database
from mcp_filesystem.main import create as create_filesystem
from mcp_filesystem.settings import FilesystemSettings
from retriever.settings import RetrieverSettings

QUESTION = "Where does the ferry leave from, and how many services are there?"
HOSTILE = "<img src=x onerror=alert(1)>"
PLAN = f"The harbour opens at seven.\nThe ferry leaves from pier 9.\n{HOSTILE}\n"
SQL = "SELECT count(*) AS services\nFROM harbour.services"


@pytest.fixture(scope="module")
def tool_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Both servers, over a folder with one file and the sample database."""
    folder = tmp_path_factory.mktemp("tools")
    (folder / "root").mkdir()
    (folder / "root" / "plan.txt").write_text(PLAN)
    key = folder / "key"
    key.write_text(new_signing_key())
    files = FilesystemSettings(port=free_port(), root=folder / "root", signing_key_file=key)
    with sample_database() as database:
        rows = database.settings(port=free_port())
        with (
            tool_serving(create_filesystem(files), files) as filesystem_url,
            tool_serving(create_database(rows), rows) as database_url,
        ):
            yield write_list(
                folder,
                *(
                    {
                        "name": name,
                        "url": f"{url}/mcp",
                        "auth": {"type": "signed", "key_file": str(own.signing_key_file)},
                        "trusted": True,
                    }
                    for name, url, own in (
                        ("filesystem", filesystem_url, files),
                        ("database", database_url, rows),
                    )
                ),
            )


@pytest.fixture
def settings(settings: RetrieverSettings, tool_servers: Path) -> RetrieverSettings:
    told = settings.model_dump() | {"tool_servers_file": tool_servers}
    return RetrieverSettings.model_validate(told)


@pytest.fixture
def api(settings: RetrieverSettings) -> Iterator[Api]:
    with running(settings) as api:
        yield api


def call(tool: str, **arguments: str) -> tuple[str, str]:
    return tool, json.dumps(arguments)


def test_steps_are_told_and_a_tool_is_cited_like_a_document(
    filled: Api, llm: ScriptedLLM, window: Window
) -> None:
    read = call("filesystem__read_text", path="plan.txt")
    llm.play(
        Turn(calls=[read, call("database__query", sql=SQL), read]),
        Turn("The ferry leaves from pier 9. The retriever listens on port 8080."),
    )
    window.open().page.locator("#options summary").click()
    window.page.get_by_label("Use tools").check()
    answer = window.ask(QUESTION)

    told = answer.locator("> .steps > li")
    expect(told).to_contain_text(
        ["filesystem · read_text done", "database · query done", "filesystem · read_text refused"]
    )
    expect(told.first.locator("pre").first).to_be_hidden()
    told.first.locator("summary").click()
    expect(told.first.get_by_label("Arguments")).to_have_text("path: plan.txt")
    expect(told.first.get_by_label("Result")).to_contain_text(HOSTILE)

    answer.get_by_text("What happened").click()
    steps = answer.locator(".panel .steps li")
    expect(steps.nth(1).get_by_label("Arguments")).to_have_text(f"sql: {SQL}")
    expect(steps.nth(1).get_by_label("Result")).to_contain_text("62")
    expect(steps.nth(2).locator(".notice")).to_be_visible()
    expect(answer.locator(".stages")).to_contain_text("Call tools")

    answer.get_by_role("button", name="Source 1: filesystem · read_text").click()
    reader = window.page.locator("#reader")
    expect(reader.get_by_role("heading")).to_have_text("filesystem · read_text")
    expect(reader.locator("#reader-about")).to_contain_text("plan.txt")
    expect(reader.locator("mark")).to_have_text("The ferry leaves from pier 9.")
    expect(reader.locator("#reader-text")).to_contain_text("opens at seven.\n")
    window.page.keyboard.press("Escape")
    answer.get_by_role("button", name="Source 2: Ports").click()
    expect(reader.locator("mark")).to_have_text("The retriever listens on port 8080.")
    assert window.page.locator("main img, #reader img").count() == 0
