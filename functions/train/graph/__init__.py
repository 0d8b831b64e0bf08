"""From a fitted pipeline to the ONNX graph that serves, with its proof of parity."""
