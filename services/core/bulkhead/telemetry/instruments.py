"""The metrics, each made once. They go nowhere until `setup` gives the process readers.

What may label them is listed beside each: labels with few values only, never a tenant, a key, a
document or a question, so that the number of time series stays bounded.
"""

from opentelemetry.metrics import get_meter

_meter = get_meter("bulkhead")

# Buckets of the GenAI conventions: 10 ms to 82 s, doubling; tokens from 1 to 4^13.
_SECONDS = [0.01 * 2**n for n in range(14)]
_TOKENS = [float(4**n) for n in range(14)]
# A stage of ours may take less than a millisecond.
_STAGE_SECONDS = [0.0005, 0.001, 0.0025, 0.005, *_SECONDS]
_SHARES = [n / 20 for n in range(1, 21)]

# The model, as the retriever sees it: gen_ai.operation.name, gen_ai.provider.name,
# gen_ai.request.model, error.type, rag.traffic.
OPERATION_DURATION = _meter.create_histogram(
    "gen_ai.client.operation.duration",
    unit="s",
    description="Time of a whole call to a model.",
    explicit_bucket_boundaries_advisory=_SECONDS,
)
TIME_TO_FIRST_CHUNK = _meter.create_histogram(
    "gen_ai.client.operation.time_to_first_chunk",
    unit="s",
    description="Time from a call to a model to its first words.",
    explicit_bucket_boundaries_advisory=_SECONDS,
)
TIME_PER_OUTPUT_CHUNK = _meter.create_histogram(
    "gen_ai.client.operation.time_per_output_chunk",
    unit="s",
    description="Time between pieces of an answer, after the first, as a mean over the answer.",
    explicit_bucket_boundaries_advisory=_STAGE_SECONDS,
)
TOKEN_USAGE = _meter.create_histogram(  # and gen_ai.token.type
    "gen_ai.client.token.usage",
    unit="{token}",
    description="Tokens of a call to a model, read and written.",
    explicit_bucket_boundaries_advisory=_TOKENS,
)
MODEL_SERVER_CALLS = _meter.create_counter(  # rag.model.server: llm, llm-1, …; rag.result
    "rag.model.calls",
    unit="{call}",
    description="Model servers that were to answer: answered, or failed and left to the next.",
)

# A question: rag.traffic, and what stands beside each.
ANSWERS = _meter.create_counter(  # rag.outcome: answered, abstained, error
    "rag.answers", unit="{answer}", description="Questions, by what became of them."
)
ANSWER_DURATION = _meter.create_histogram(  # rag.outcome
    "rag.answer.duration",
    unit="s",
    description="Time from a question to the end of its answer.",
    explicit_bucket_boundaries_advisory=_SECONDS,
)
FIRST_TOKEN = _meter.create_histogram(
    "rag.answer.time_to_first_token",
    unit="s",
    description="Time from a question to the first word of its answer.",
    explicit_bucket_boundaries_advisory=_SECONDS,
)
STAGE_DURATION = _meter.create_histogram(  # rag.stage
    "rag.stage.duration",
    unit="s",
    description="Time of one stage of a question.",
    explicit_bucket_boundaries_advisory=_STAGE_SECONDS,
)
TOP1_SCORE = _meter.create_histogram(
    "rag.retrieval.top1_score",
    unit="1",
    description="Cosine of the best chunk: low where a question is out of scope.",
    explicit_bucket_boundaries_advisory=_SHARES,
)
RETRIEVED = _meter.create_counter(  # rag.result: cited, not_cited
    "rag.retrieval.chunks", unit="{chunk}", description="Chunks shown to the model."
)
DEGRADED = _meter.create_counter(  # rag.stage: the part that was down
    "rag.degraded",
    unit="{answer}",
    description="Requests served without a part that was down.",
)
EVALUATIONS = _meter.create_counter(  # gen_ai.evaluation.name, rag.evaluator, …score.label
    "rag.evaluations", unit="{evaluation}", description="Verdicts on answers, by evaluator."
)
EVALUATION_ELIGIBLE = _meter.create_counter(  # gen_ai.evaluation.name, rag.evaluator
    "rag.evaluation.eligible",
    unit="{answer}",
    description="Answers that could be evaluated.",
)
EVALUATION_DROPPED = _meter.create_counter(
    # rag.stage: sample (retriever's queue full), send (not taken), queue (and rag.evaluator)
    "rag.evaluation.dropped",
    unit="{answer}",
    description="Answers drawn for evaluation that were not evaluated.",
)
EVALUATION_DURATION = _meter.create_histogram(  # rag.evaluator
    "rag.evaluation.duration",
    unit="s",
    description="Time of one verdict.",
    explicit_bucket_boundaries_advisory=_STAGE_SECONDS,
)
# rag.result: hit, miss, absent, declined, not_declined, error, judged_right, judged_wrong
CANARIES = _meter.create_counter(
    "rag.retrieval.canary", unit="{question}", description="Labelled questions, by outcome."
)
CANARY_HIT_RATE = _meter.create_gauge(
    "rag.retrieval.canary.hit_rate",
    unit="1",
    description="Share of the last round's labelled questions whose passage was among the first k.",
)
CANARY_MRR = _meter.create_gauge(
    "rag.retrieval.canary.mrr",
    unit="1",
    description="Mean reciprocal rank of the labelled passages, in the last round.",
)
FEEDBACK = _meter.create_counter(  # rag.vote: up, down
    "rag.feedback", unit="{vote}", description="Votes on answers."
)
TOOL_CALLS = _meter.create_counter(  # gen_ai.tool.name, rag.tool.server, rag.outcome
    "rag.tool.calls",
    unit="{call}",
    description="Tool calls that a model asked for, by outcome.",
)
LIMITED = _meter.create_counter(
    # rag.limit: requests, tokens, documents, refusals; of the places at once: searches, chats
    "rag.rate_limited",
    unit="{request}",
    description="Requests refused because of a rate limit.",
)
LIMITS_ALONE = _meter.create_counter(
    "rag.limits.alone",
    unit="{check}",
    description="Looks at a limit by a retriever for itself, as Valkey did not answer.",
)
CACHE_LOOKUPS = _meter.create_counter(  # rag.cache, rag.result: hit, miss
    "rag.cache.lookups", unit="{lookup}", description="Lookups in a cache."
)

# A message of MCP: mcp.method.name, gen_ai.operation.name, gen_ai.tool.name, error.type.
# Buckets as its conventions have them.
_MCP_SECONDS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0]
MCP_SERVER_DURATION = _meter.create_histogram(
    "mcp.server.operation.duration",
    unit="s",
    description="Duration of an MCP request or notification, as the server saw it.",
    explicit_bucket_boundaries_advisory=_MCP_SECONDS,
)
MCP_CLIENT_DURATION = _meter.create_histogram(  # and rag.tool.server
    "mcp.client.operation.duration",
    unit="s",
    description="Duration of an MCP request, as its client saw it.",
    explicit_bucket_boundaries_advisory=_MCP_SECONDS,
)

# Ingestion
DOCUMENTS = _meter.create_counter(  # rag.outcome: added, replaced, unchanged, failed
    "rag.ingest.documents",
    unit="{document}",
    description="Documents, by what became of them.",
)
WARNINGS = _meter.create_counter(  # rag.warning: the parser's codes
    "rag.ingest.warnings",
    unit="{document}",
    description="Documents that went in with a warning of their parser, by its code.",
)
CHUNKS = _meter.create_counter(
    "rag.ingest.chunks", unit="{chunk}", description="Chunks written to the index."
)
INGEST_STAGE_DURATION = _meter.create_histogram(  # rag.stage: parse, chunk, embed, index
    "rag.ingest.stage.duration",
    unit="s",
    description="Time to parse or chunk a document, and to embed or index those that go together.",
    explicit_bucket_boundaries_advisory=_STAGE_SECONDS,
)
DOCUMENTS_WAITING = _meter.create_gauge(
    "rag.ingest.waiting",
    unit="{document}",
    description="Documents that wait to be taken in, of all jobs, as this worker last saw it.",
)

INDEX_REFUSES = _meter.create_gauge(
    "rag.index.refuses",
    unit="{state}",
    description="1 while a store of the index takes no writes, as the last one showed; else 0.",
)

# The embedding service: embedding.lane, reading (queries, pairs) or bulk
BATCH_DURATION = _meter.create_histogram(
    "embedding.batch.duration",
    unit="s",
    description="Time of the model for one batch.",
    explicit_bucket_boundaries_advisory=_STAGE_SECONDS,
)
BATCH_TEXTS = _meter.create_histogram(
    "embedding.batch.texts",
    unit="{text}",
    description="Texts in a batch.",
    explicit_bucket_boundaries_advisory=[1, 2, 4, 8, 16, 32, 64, 128, 256],
)
BATCH_FILL = _meter.create_histogram(
    "embedding.batch.fill",
    unit="1",
    description="Tokens of a batch, as a share of what it may hold.",
    explicit_bucket_boundaries_advisory=_SHARES,
)
QUEUE_SECONDS = _meter.create_histogram(
    "embedding.queue.duration",
    unit="s",
    description="Time that the oldest text of a batch waited for it.",
    explicit_bucket_boundaries_advisory=_STAGE_SECONDS,
)
QUEUE_TEXTS = _meter.create_up_down_counter(
    "embedding.queue.texts", unit="{text}", description="Texts that wait for their batch."
)
EMBEDDED_TOKENS = _meter.create_counter(
    "embedding.tokens", unit="{token}", description="Tokens embedded, without padding."
)
