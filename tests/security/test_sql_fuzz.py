"""A fuzzer against the gate alone: what it accepts is run as the superuser, with no other wall.

Whatever passes must read the named tables and nothing else, and must change nothing: not even a
transaction id is taken, which PostgreSQL does for any write.
"""

import asyncio
import re
from collections.abc import Iterator

import asyncpg
import pytest
from benign_sql import QUERIES
from database import VAULT_CANARY, SampleDatabase
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sql_attacks import ATTACKS

from embedded.postgres import ADMIN
from mcp_database.gate import Gate, Refused

GATE = Gate([("harbour", name) for name in ("services", "incidents", "deployments", "costs")])
SECRETS = (VAULT_CANARY, "SCRAM-SHA-256", "root:x:0")
SETTINGS = settings(max_examples=300, derandomize=True, suppress_health_check=list(HealthCheck))

NAMES = st.sampled_from(
    ["services", "services", "harbour.costs", "harbour.costs", "incidents", "incidents",
     "vault", "harbour.vault", "pg_authid", "a", "b",
     "pg_catalog.pg_shadow", '"vault"', "only vault", "information_schema.tables"]
)  # fmt: skip
CTE_NAMES = st.sampled_from(["a", "b", "vault", "services", "pg_authid"])
FUNCTIONS = st.sampled_from(
    ["lower", "count", "count", "max", "max", "min", "string_agg", "array_agg", "pg_read_file",
     "unnest",
     "lo_get", "query_to_xml", "harbour.lower", "pg_catalog.upper", "pg_sleep", "row_to_json",
     "nextval", "lo_creat", "pg_notify", "set_config", "current_setting", "generate_series"]
)  # fmt: skip
LEAVES = st.sampled_from(
    ["1", "'x'", "null", "*", "word", "name", "a.*", "vault.word", "a", "xmin", "rolpassword",
     "current_user", "current_date", "'/etc/passwd'", "'harbour.vault'::regclass", "-1",
     "'select word from harbour.vault'", "$1", "(a).word", "a.row_to_json", "array[1]", "0"]
)  # fmt: skip
OPERATORS = st.sampled_from(["||", "=", "+", "->", "~", "and"])
TYPES = st.sampled_from(["text", "int", "regclass", "oid", "xml"])


def _expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{}({})".format, FUNCTIONS, inner),
        st.builds("{}({}, {})".format, FUNCTIONS, inner, inner),
        st.builds("({}) {} ({})".format, inner, OPERATORS, inner),
        st.builds("({})::{}".format, inner, TYPES),
        st.builds("case when {} is null then {} end".format, inner, inner),
        st.builds("count(*) filter (where {} is null)".format, inner),
        st.builds("exists ({})".format, STATEMENTS),
        st.builds("({})".format, STATEMENTS),
        st.builds("array({})".format, STATEMENTS),
    )


STATEMENTS: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.builds("select {}".format, EXPRESSIONS),
        st.builds("select {} from {}".format, EXPRESSIONS, SOURCES),
        st.builds("select {} from {} where {} is not null".format, EXPRESSIONS, SOURCES,
                  EXPRESSIONS),
        st.builds("select {} from {} order by {} limit 3".format, EXPRESSIONS, SOURCES,
                  EXPRESSIONS),
        st.builds("{} union all {}".format, STATEMENTS, STATEMENTS),
        st.builds("with{} {} as ({}) {}".format, st.sampled_from(["", " recursive"]), CTE_NAMES,
                  STATEMENTS, STATEMENTS),
        st.builds("with {} as ({}), {} as ({}) {}".format, CTE_NAMES, STATEMENTS, CTE_NAMES,
                  STATEMENTS, STATEMENTS),
        st.builds("table {}".format, NAMES),
        st.sampled_from(["delete from services returning name", "values ('x')",
                         "insert into harbour.vault values ('y') returning word",
                         "select * into t from services", "select * from services for update"]),
    )
)  # fmt: skip
EXPRESSIONS: st.SearchStrategy[str] = st.recursive(LEAVES, _expressions, max_leaves=4)
SOURCES: st.SearchStrategy[str] = st.one_of(
    NAMES,
    st.builds("{} a".format, NAMES),
    st.builds("{}, {} b".format, NAMES, NAMES),
    st.builds("{} a left join {} b on true".format, NAMES, NAMES),
    st.builds("{}({}) a".format, FUNCTIONS, LEAVES),
    st.builds("({}) a".format, STATEMENTS),
    st.builds("{} a, lateral ({}) b".format, NAMES, STATEMENTS),
)
_TOKENS = [
    re.findall(r"\w+|'[^']*'|\s+|.", sql)
    for sql in [*QUERIES, *(one.sql for one in ATTACKS if len(one.sql) < 300)]
]


@st.composite
def spliced(draw: st.DrawFn) -> str:
    """The beginning of one known statement, some of another, and the end of the first."""
    first, second = draw(st.sampled_from(_TOKENS)), draw(st.sampled_from(_TOKENS))
    if not first or not second:
        return ""
    cut, end = sorted(draw(st.tuples(*[st.integers(0, len(first))] * 2)))
    start, stop = sorted(draw(st.tuples(*[st.integers(0, len(second))] * 2)))
    return "".join([*first[:cut], *second[start:stop], *first[end:]])


class Superuser:
    """Runs statements as the superuser, one at a time, and undoes them."""

    def __init__(self, database: SampleDatabase) -> None:
        self._runner = asyncio.Runner()
        self._connection = self._runner.run(self._connect(database))
        self.ran = 0

    async def _connect(self, database: SampleDatabase) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            host="127.0.0.1", port=database.port, user=ADMIN, password=database.admin_password,
            database="harbour", server_settings={"search_path": "harbour",
                                                 "statement_timeout": "50"},
        )  # fmt: skip

    def close(self) -> None:
        """End the connection."""
        self._runner.run(self._connection.close())
        self._runner.close()

    def check(self, sql: str) -> None:
        """Fail where `sql` passes the gate and then reads or changes what it must not."""
        try:
            GATE.check(sql)
        except Refused:
            return
        self._runner.run(self._check(sql))

    async def _check(self, sql: str) -> None:
        transaction = self._connection.transaction()
        await transaction.start()
        try:
            statement = await self._connection.prepare(sql)
            arguments = ["1" for _ in statement.get_parameters()]
            rows = await (await statement.cursor(*arguments)).fetch(100)
        except (asyncpg.PostgresError, asyncpg.InterfaceError):
            return  # a plain mistake, or a limit
        else:
            self.ran += 1
            told = str(rows)
            assert not any(secret in told for secret in SECRETS), sql
            taken = await self._connection.fetchval("select pg_current_xact_id_if_assigned()")
            assert taken is None, f"it writes: {sql}"
        finally:
            await transaction.rollback()


@pytest.fixture(scope="module")
def superuser(database: SampleDatabase) -> Iterator[Superuser]:
    """One connection for the whole run."""
    made = Superuser(database)
    yield made
    made.close()


def test_what_is_grown_from_a_grammar_and_passes_is_harmless(superuser: Superuser) -> None:
    before = superuser.ran

    @SETTINGS
    @given(STATEMENTS)
    def run(sql: str) -> None:
        superuser.check(sql)

    run()
    assert superuser.ran - before > 15  # it tries more than the gate's refusals


def test_what_is_spliced_from_known_statements_and_passes_is_harmless(
    superuser: Superuser,
) -> None:
    before = superuser.ran

    @SETTINGS
    @given(spliced())
    def run(sql: str) -> None:
        superuser.check(sql)

    run()
    assert superuser.ran - before > 30


@SETTINGS
@given(st.text(max_size=200))
def test_any_text_is_refused_or_passes_and_never_breaks_the_gate(sql: str) -> None:
    try:
        GATE.check(sql)
    except Refused as error:
        assert str(error)


def test_the_fuzzer_would_see_a_hole(superuser: Superuser) -> None:
    """The check itself: with the gate open, each kind of harm is found."""
    for sql in ("select * from harbour.vault", "select rolpassword from pg_authid",
                "insert into harbour.vault values ('y') returning word",
                "select pg_read_file('/etc/passwd')"):  # fmt: skip
        with pytest.raises(AssertionError):
            superuser._runner.run(superuser._check(sql))


_TAKES_ANY_ROW = """
    select distinct proname from pg_proc
    where prokind in ('f', 'a') and proname !~ '^pg_'
      and pronargs >= 1 and pronargs - pronargdefaults <= 1
      and proargtypes[0] in ('"any"'::regtype, 'anyelement'::regtype, 'record'::regtype,
                             'anynonarray'::regtype, 'anycompatible'::regtype,
                             'anycompatiblenonarray'::regtype)
"""


async def test_attribute_notation_calls_nothing_that_harms(database: SampleDatabase) -> None:
    """`row.function` looks like a column, so the gate lets it pass: these are all it can reach.

    PostgreSQL calls a function of one argument that takes any row. Each was looked at: it
    computes from its argument. A new name here needs the same look.
    """
    async with database.admin() as admin:
        rows = await admin.fetch(_TAKES_ANY_ROW)
    assert {row[0] for row in rows} <= REACHABLE_BY_ATTRIBUTE


_REACHABLE = """
    any_out any_value anycompatible_out anycompatiblenonarray_out anyelement_out anynonarray_out
    array_agg concat count cume_dist dense_rank hash_record json_agg json_agg_strict
    json_build_array json_build_object jsonb_agg jsonb_agg_strict jsonb_build_array
    jsonb_build_object max min mode num_nonnulls num_nulls percent_rank quote_literal
    quote_nullable rank record_out record_send row_to_json to_json to_jsonb
"""
REACHABLE_BY_ATTRIBUTE = set(_REACHABLE.split())
