"""The user's source, rewritten and run on symbolic values: recursive modules to Recursions, and modules whose course depends on
what they compute to Programs."""

from bough.frontends.staging.circles import is_recursive
from bough.frontends.staging.data_stage import export_module, trace_module, trace_with_host_calls
from bough.frontends.staging.stage import Staged, stage
from bough.frontends.staging.templates import Listed

__all__ = ["Listed", "Staged", "export_module", "is_recursive", "stage", "trace_module", "trace_with_host_calls"]
