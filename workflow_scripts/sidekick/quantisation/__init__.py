"""Networks as ONNX files: exported, quantised to int8, explained layer by layer and run."""
