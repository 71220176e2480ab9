"""How busy a model server says it is."""

from quality.load import requests

LLAMACPP = """\
# HELP llamacpp:requests_processing Number of requests processing.
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 1
llamacpp:requests_deferred 2
llamacpp:n_busy_slots_per_decode 9
"""
VLLM = """\
vllm:num_requests_running{engine="0",model_name="a b"} 3.0
vllm:num_requests_waiting{engine="0",model_name="a b"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 7.0
"""


def test_requests_at_work_and_those_that_wait_are_added_up() -> None:
    assert requests(LLAMACPP) == 3
    assert requests(VLLM) == 4
    assert requests("") == 0
    assert requests("llamacpp:requests_processing\nllamacpp:requests_deferred soon\n") == 0
