"""Benchmarks: what `across` costs beside the least that the same work can cost.

``python -m tests.bench`` answers all questions, one module each: latency, cost, throughput, boot,
import_time, concurrency, pipelining. Nothing here is collected as a test but ``test_bench.py``,
which checks that the benchmarks work, and asserts no durations.
"""
