"""Models of ONNX in the libraries that run them, each with the settings that suit a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MODEL = "model.onnx"
ERRORS = 3
"""ONNX Runtime tells no warnings about graphs that it could not rewrite."""


def onnxruntime_session(file: Path, threads: int) -> Any:
    """With all its optimisations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = ERRORS
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def openvino_model(file: Path, threads: int) -> Any:
    """For latency, in float32 also where the processor has bf16."""
    import openvino

    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    return openvino.Core().compile_model(str(file), "CPU", options)
