"""An explanation as a page for a browser, and as a trace for a viewer of traces."""

from bough.pipeline.report.page import page
from bough.pipeline.report.trace import trace

__all__ = ["page", "trace"]
