"""What a result is traced back to: the origin of its weights, the stages before it, software versions."""
