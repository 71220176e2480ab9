"""Chats that use the real tool servers in their containers, and what happens without them."""

from collections.abc import Iterator
from typing import Any

import pytest
from compose_disks import full
from compose_stack import Stack
from tool_chat import QUERY, READ, chat, outcomes, scripted_model


@pytest.fixture(scope="module")
def scripted(stack: Stack) -> Iterator[Stack]:
    """The stack with a model that calls the tools which its question names."""
    with scripted_model(stack):
        yield stack


def test_an_answer_takes_files_and_rows_from_the_tool_servers(scripted: Stack) -> None:
    reply = chat(scripted, READ, QUERY)

    assert outcomes(reply) == [(READ[0], "done"), (QUERY[0], "done")], reply["steps"]
    files, rows = (step["text"] for step in reply["steps"])
    assert "Glossary" in files
    assert "62" in rows
    assert reply["retrieval"]["degraded"] == []


@pytest.mark.parametrize(
    ("server", "down", "other"),
    [("mcp-filesystem", READ, QUERY), ("mcp-database", QUERY, READ)],
)
def test_without_a_tool_server_the_answer_goes_on_and_names_it(
    scripted: Stack,
    server: str,
    down: tuple[str, dict[str, Any]],
    other: tuple[str, dict[str, Any]],
) -> None:
    scripted.compose("stop", server)
    try:
        scripted.until(lambda: scripted.readiness()["parts"][server]["state"] == "down", 120)
        ready = scripted.api.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        reply = chat(scripted, down, other)
    finally:
        scripted.compose("start", server)

    assert outcomes(reply) == [(down[0], "error"), (other[0], "done")], reply["steps"]
    assert reply["retrieval"]["degraded"] == [server]
    scripted.until_ready(60)
    assert outcomes(chat(scripted, down)) == [(down[0], "done")]


def test_without_postgresql_the_database_server_says_so_and_mends_itself(scripted: Stack) -> None:
    scripted.compose("stop", "postgres")
    try:
        database = "mcp-database"
        scripted.until(lambda: scripted.readiness()["parts"][database]["state"] == "down", 120)
        (step,) = chat(scripted, QUERY)["steps"]
    finally:
        scripted.compose("start", "postgres")

    assert step["outcome"] == "failed" and "database" in step["detail"], step
    scripted.until_ready(60)
    assert outcomes(chat(scripted, QUERY)) == [(QUERY[0], "done")]


def test_a_path_out_of_the_root_and_a_write_are_refused_by_the_servers(scripted: Stack) -> None:
    out = ("filesystem__read_text", {"path": "../run/secrets/signing-key"})
    write = ("database__query", {"sql": "DELETE FROM harbour.services", "max_rows": 1})

    reply = chat(scripted, out, write)

    assert outcomes(reply) == [(out[0], "failed"), (write[0], "failed")], reply["steps"]


def test_the_reading_roles_are_all_that_the_database_server_has(stack: Stack) -> None:
    """They may not write, whatever they set; the superuser's password is not theirs, nor empty."""
    script = """
import asyncio, asyncpg, os, pathlib
async def login(user, password):
    try:
        c = await asyncpg.connect(host="postgres", database="harbour", user=user, password=password)
    except asyncpg.InvalidPasswordError:
        return "refused"
    await c.execute("SET default_transaction_read_only = off")
    try:
        await c.execute("DELETE FROM harbour.services")
        return "wrote"
    except asyncpg.InsufficientPrivilegeError:
        return "denied"
own = pathlib.Path("/run/secrets/harbour_reader").read_text().strip()
print(sorted(os.listdir("/run/secrets")), asyncio.run(login("harbour_reader", own)),
      asyncio.run(login("postgres", own)), asyncio.run(login("postgres", "")))
"""
    said = stack.compose("exec", "-T", "mcp-database", "python", "-c", script)
    assert "'postgres'" not in said
    assert said.strip().endswith("denied refused refused"), said


def test_rows_are_read_while_the_disk_under_postgres_is_full_and_it_starts_again_after(
    scripted: Stack,
) -> None:
    scripted.until_ready()
    with full("postgres-data"):
        assert outcomes(chat(scripted, QUERY)) == [(QUERY[0], "done")]
        scripted.kill("postgres")  # and whether or not it can start on a full disk:
    scripted.until_ready()
    assert outcomes(chat(scripted, QUERY)) == [(QUERY[0], "done")]
