"""The pocket world: a small English-like language with an exact oracle, and twins of the paper's tasks in it."""
