"""What makes the lessons safe and fast: one module a concern. It imports no lesson."""
