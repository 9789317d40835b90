"""A job that is traced by OpenTelemetry's SDK and emits by the command of its arguments; prints the ids of its span."""
import json
import os
import subprocess
import sys

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
with provider.get_tracer("worker").start_as_current_span("job"):
    carrier = {}
    TraceContextTextMapPropagator().inject(carrier)
    subprocess.run(sys.argv[1:], env={**os.environ, "TRACEPARENT": carrier["traceparent"]}, check=True)
[job] = exporter.get_finished_spans()
print(json.dumps({"trace_id": format(job.context.trace_id, "032x"), "span_id": format(job.context.span_id, "016x")}))
