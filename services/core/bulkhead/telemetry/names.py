"""Every name that this project's telemetry uses. A test holds a snapshot of it.

`gen_ai.*`, `mcp.*`, `db.*`, `http.*`, `url.*` and `error.*` are OpenTelemetry's conventions (those
for GenAI and MCP of 2026, still in development); `rag.*` and `embedding.*` are our own, for which
there is no convention. The conventions move: a change of names is made here and nowhere else.
"""

from typing import Final

# Attributes
INSTANCE_ID: Final = "service.instance.id"
URL_QUERY: Final = "url.query"
ERROR_TYPE: Final = "error.type"
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - a name, no secret
DATA_SOURCE: Final = "gen_ai.data_source.id"
RETRIEVAL_TOP_K: Final = "gen_ai.retrieval.top_k"
TOOL_NAME: Final = "gen_ai.tool.name"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_LABEL: Final = "gen_ai.evaluation.score.label"
EVALUATION_SCORE: Final = "gen_ai.evaluation.score.value"
EVALUATION_RESULT: Final = "gen_ai.evaluation.result"
DB_SYSTEM: Final = "db.system.name"
DB_NAMESPACE: Final = "db.namespace"
DB_OPERATION: Final = "db.operation.name"
FILESYSTEM_STATE: Final = "system.filesystem.state"

STAGE: Final = "rag.stage"
MODE: Final = "rag.mode"
OUTCOME: Final = "rag.outcome"
WARNING: Final = "rag.warning"
EVALUATOR: Final = "rag.evaluator"
LIMIT: Final = "rag.limit"
CACHE: Final = "rag.cache"
RESULT: Final = "rag.result"
VOTE: Final = "rag.vote"
SERVER: Final = "rag.tool.server"
MODEL_SERVER: Final = "rag.model.server"
TRAFFIC: Final = "rag.traffic"
REQUEST_ID: Final = "bulkhead.request_id"
TENANT: Final = "bulkhead.tenant"

LANE: Final = "embedding.lane"

# Values of gen_ai.operation.name
CHAT: Final = "chat"
EMBEDDINGS: Final = "embeddings"
RETRIEVAL: Final = "retrieval"
RERANK: Final = "rerank"
EXECUTE_TOOL: Final = "execute_tool"

# Values of rag.traffic: the canary prober's questions are kept apart from the users'.
USER_TRAFFIC: Final = "user"
CANARY_TRAFFIC: Final = "canary"
