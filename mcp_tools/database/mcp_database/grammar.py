"""What free SQL may be made of: nodes of libpg_query's syntax tree, functions and types.

All three are allow-lists. What a new PostgreSQL adds is refused until somebody adds it here.
"""

from collections.abc import Mapping
from typing import Final

NODE: Final = "node"
"""A field that holds a wrapped node, `{"Name": {…}}`, or a list of them."""
PLAIN: Final = "plain"
"""A field that holds a name, a number or a flag, in which nothing can hide."""

_ALIAS: Mapping[str, str] = {"alias": "Alias"}

NODES: Final[Mapping[str, Mapping[str, str]]] = {
    # statements
    "SelectStmt": {
        "distinctClause": NODE, "targetList": NODE, "fromClause": NODE, "whereClause": NODE,
        "groupClause": NODE, "groupDistinct": PLAIN, "havingClause": NODE, "windowClause": NODE,
        "valuesLists": NODE, "sortClause": NODE, "limitOffset": NODE, "limitCount": NODE,
        "limitOption": PLAIN, "withClause": "WithClause", "op": PLAIN, "all": PLAIN,
        "larg": "SelectStmt", "rarg": "SelectStmt",
    },
    "WithClause": {"ctes": NODE, "recursive": PLAIN},
    "CommonTableExpr": {
        "ctename": PLAIN, "aliascolnames": NODE, "ctematerialized": PLAIN, "ctequery": NODE,
    },
    "ResTarget": {"name": PLAIN, "val": NODE},
    "SortBy": {"node": NODE, "sortby_dir": PLAIN, "sortby_nulls": PLAIN},
    "WindowDef": {
        "name": PLAIN, "refname": PLAIN, "partitionClause": NODE, "orderClause": NODE,
        "frameOptions": PLAIN, "startOffset": NODE, "endOffset": NODE,
    },
    "GroupingSet": {"kind": PLAIN, "content": NODE},
    # what rows come from
    "RangeVar": {
        "schemaname": PLAIN, "relname": PLAIN, "inh": PLAIN, "relpersistence": PLAIN, **_ALIAS,
    },
    "RangeSubselect": {"lateral": PLAIN, "subquery": NODE, **_ALIAS},
    "RangeFunction": {
        "lateral": PLAIN, "ordinality": PLAIN, "is_rowsfrom": PLAIN, "functions": NODE, **_ALIAS,
    },
    "JoinExpr": {
        "jointype": PLAIN, "isNatural": PLAIN, "larg": NODE, "rarg": NODE, "usingClause": NODE,
        "join_using_alias": "Alias", "quals": NODE, **_ALIAS,
    },
    "Alias": {"aliasname": PLAIN, "colnames": NODE},
    # expressions
    "A_ArrayExpr": {"elements": NODE},
    "A_Const": {
        "isnull": PLAIN, "ival": "Constant", "fval": "Constant", "boolval": "Constant",
        "sval": "Constant", "bsval": "Constant",
    },
    "A_Expr": {"kind": PLAIN, "name": NODE, "lexpr": NODE, "rexpr": NODE},
    "A_Indices": {"is_slice": PLAIN, "lidx": NODE, "uidx": NODE},
    "A_Indirection": {"arg": NODE, "indirection": NODE},
    "A_Star": {},
    "BoolExpr": {"boolop": PLAIN, "args": NODE},
    "BooleanTest": {"arg": NODE, "booltesttype": PLAIN},
    "CaseExpr": {"arg": NODE, "args": NODE, "defresult": NODE},
    "CaseWhen": {"expr": NODE, "result": NODE},
    "CoalesceExpr": {"args": NODE},
    "ColumnRef": {"fields": NODE},
    "Constant": {
        "ival": PLAIN, "fval": PLAIN, "boolval": PLAIN, "sval": PLAIN, "bsval": PLAIN,
    },
    "FuncCall": {
        "funcname": NODE, "args": NODE, "agg_order": NODE, "agg_filter": NODE,
        "agg_within_group": PLAIN, "agg_star": PLAIN, "agg_distinct": PLAIN, "over": "WindowDef",
        "funcformat": PLAIN,
    },
    "GroupingFunc": {"args": NODE},
    "Integer": {"ival": PLAIN},
    "List": {"items": NODE},
    "MinMaxExpr": {"op": PLAIN, "args": NODE},
    "NullTest": {"arg": NODE, "nulltesttype": PLAIN},
    "ParamRef": {"number": PLAIN},
    "RowExpr": {"args": NODE, "row_format": PLAIN},
    "SQLValueFunction": {"op": PLAIN, "typmod": PLAIN},
    "String": {"sval": PLAIN},
    "SubLink": {"subLinkType": PLAIN, "testexpr": NODE, "operName": NODE, "subselect": NODE},
    "TypeCast": {"arg": NODE, "typeName": "TypeName"},
    "TypeName": {"names": NODE, "typmods": NODE, "typemod": PLAIN, "arrayBounds": NODE},
}  # fmt: skip
"""Each allowed node, and what each of its allowed fields holds: `NODE`, `PLAIN`, or the name of
the one node that stands in it without a wrapper."""

_FUNCTIONS = """
    count sum avg min max bool_and bool_or every string_agg array_agg
    stddev stddev_pop stddev_samp
    variance var_pop var_samp corr regr_slope regr_intercept regr_r2 percentile_cont percentile_disc
    mode
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value
    nth_value
    abs ceil ceiling floor round trunc mod div power sqrt exp ln log sign width_bucket
    lower upper initcap length char_length character_length octet_length substring substr left right
    trim btrim ltrim rtrim position strpos replace split_part concat concat_ws reverse starts_with
    translate overlay to_char regexp_replace regexp_match regexp_count like_escape
    similar_to_escape
    date_trunc date_part extract age to_date to_timestamp to_number make_date make_interval
    make_timestamptz date_bin justify_days justify_hours justify_interval now timezone overlaps
    isfinite
    generate_series unnest array_length array_position array_to_string cardinality
    """
FUNCTIONS: Final = frozenset(_FUNCTIONS.split())
"""Functions of PostgreSQL that compute from their arguments alone: none reads a table, a file, a
setting or the session, runs SQL text, waits, or makes a long text out of a short one."""

_TYPES = """
    text varchar bpchar int2 int4 int8 numeric float4 float8 bool date time timetz timestamp
    timestamptz interval uuid
    """
TYPES: Final = frozenset(_TYPES.split())
"""Types to cast to. The `reg…` types are not here: they look names up in the catalogs."""

VALUE_FUNCTIONS: Final = frozenset(
    f"SVFOP_{name}"
    for name in (
        "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIME_N", "CURRENT_TIMESTAMP",
        "CURRENT_TIMESTAMP_N", "LOCALTIME", "LOCALTIME_N", "LOCALTIMESTAMP", "LOCALTIMESTAMP_N",
    )
)  # fmt: skip
"""Keywords that give a value: those that tell the time, and not those that name the role."""

SYSTEM_COLUMNS: Final = frozenset(("tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"))
"""Columns that every table has and that tell of its storage."""

FORBIDDEN: Final[Mapping[str, str]] = {
    "lockingClause": "FOR UPDATE and FOR SHARE lock rows",
    "intoClause": "SELECT INTO makes a table",
    "InsertStmt": "INSERT changes data",
    "UpdateStmt": "UPDATE changes data",
    "DeleteStmt": "DELETE changes data",
    "MergeStmt": "MERGE changes data",
}
"""Why, for what a model tries most; anything else that is not allowed is named by its node."""
