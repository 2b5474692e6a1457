"""Schedules: decisions, the loops they make of a kernel, and changes of layout."""

from __future__ import annotations

from bough.schedule.decisions import Schedule, parse_schedule
from bough.schedule.lower import lower_kernel
from bough.schedule.pack import pack_operands

__all__ = ["Schedule", "lower_kernel", "pack_operands", "parse_schedule"]
