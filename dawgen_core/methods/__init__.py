"""Compared methods, one short file each. Soft prompt tuning itself is the core's `tuning.tune_prompts`."""
