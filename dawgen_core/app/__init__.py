"""Commands around the study."""
