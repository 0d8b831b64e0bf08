"""Turns a fitted pipeline into the ONNX graph that serves, and proves that both predict the same."""
