"""Batches and samples for training: NumPy, JAX, PyTorch, TensorFlow, grain, webdataset."""
