"""All questions by name, in the order of the table."""

from __future__ import annotations

from . import (
    accept,
    boot,
    concurrency,
    cost,
    gateways,
    idle,
    import_time,
    latency,
    pipelining,
    streams,
    throughput,
)

QUESTIONS = {
    module.QUESTION.name: module.QUESTION
    for module in (
        latency,
        cost,
        throughput,
        boot,
        import_time,
        concurrency,
        pipelining,
        streams,
        gateways,
        accept,
        idle,
    )
}
