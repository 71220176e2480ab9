"""Agent and tools: what the model asks for, and what the tool servers make of it."""

from monitoring.panels import Board, Panel, Variable, quantile, rate

_TOOL = 'gen_ai_tool_name=~"$tool"'
_CALLS = f'mcp_method_name="tools/call",{_TOOL}'

BOARD = Board(
    uid="bulkhead-agent",
    title="Bulkhead / Agent and tools",
    says="Tool calls that the model asks for, and how the tool servers answer them.",
    variables=(
        Variable(
            "tool", "The tool.", "mcp_client_operation_duration_seconds_count", "gen_ai_tool_name"
        ),
    ),
    rows={
        "Calls": (
            Panel(
                "Tool calls",
                "Tool calls that the model asked for a second, by tool and outcome.",
                "ops",
                {
                    "{{gen_ai_tool_name}} {{rag_outcome}}": rate(
                        f"rag_tool_calls_total{{{_TOOL}}}", "gen_ai_tool_name, rag_outcome"
                    )
                },
                kind="stacked",
            ),
            Panel(
                "Tool calls for each question",
                "Tool calls divided by questions, in the shown interval.",
                "short",
                {"calls": f"{rate('rag_tool_calls_total')} / {rate('rag_answers_total')}"},
            ),
            Panel(
                "Time of a call, p95",
                "Time that the retriever waits for a tool, exceeded by one call in twenty.",
                "s",
                {
                    "{{gen_ai_tool_name}}": quantile(
                        0.95,
                        "mcp_client_operation_duration_seconds",
                        _CALLS,
                        "gen_ai_tool_name",
                    )
                },
                exemplars=True,
            ),
            Panel(
                "Time in the tool server, p95",
                "Time that the tool server itself takes, exceeded by one call in twenty.",
                "s",
                {
                    "{{gen_ai_tool_name}}": quantile(
                        0.95,
                        "mcp_server_operation_duration_seconds",
                        _CALLS,
                        "gen_ai_tool_name",
                    )
                },
                exemplars=True,
            ),
            Panel(
                "Requests without an answer",
                "Requests to a tool server a second that timed out or broke off, by kind of error.",
                "ops",
                {
                    "{{rag_tool_server}} {{mcp_method_name}} {{error_type}}": rate(
                        'mcp_client_operation_duration_seconds_count{error_type!=""}',
                        "rag_tool_server, mcp_method_name, error_type",
                    )
                },
            ),
            Panel(
                "Errors of tools",
                "Calls a second that a tool server refused or failed, by kind of error.",
                "ops",
                {
                    "{{gen_ai_tool_name}} {{error_type}}": rate(
                        f'mcp_server_operation_duration_seconds_count{{error_type!="",{_CALLS}}}',
                        "gen_ai_tool_name, error_type",
                    )
                },
            ),
        ),
        "Model": (
            Panel(
                "Model calls",
                "Calls to models a second, by operation and kind of error.",
                "reqps",
                {
                    "{{gen_ai_operation_name}} {{error_type}}": rate(
                        "gen_ai_client_operation_duration_seconds_count",
                        "gen_ai_operation_name, error_type",
                    )
                },
                kind="stacked",
            ),
            Panel(
                "Model calls for each question",
                "Calls to the chat model divided by questions: above one, the agent loops.",
                "short",
                {
                    "calls": rate(
                        'gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name="chat"}'
                    )
                    + " / "
                    + rate("rag_answers_total")
                },
            ),
        ),
    },
)
