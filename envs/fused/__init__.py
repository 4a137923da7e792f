"""What an environment computes around its simulator, as kernels that are generated from the task's torch functions."""
