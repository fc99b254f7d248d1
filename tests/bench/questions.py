"""All questions by name, in the order of the table."""

from __future__ import annotations

from . import boot, concurrency, cost, gateways, import_time, latency, pipelining, throughput

QUESTIONS = {
    module.QUESTION.name: module.QUESTION
    for module in (latency, cost, throughput, boot, import_time, concurrency, pipelining, gateways)
}
