"""The quality service: a canary prober and an answer evaluator."""
