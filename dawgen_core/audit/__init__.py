"""What is in the data, what came out: measures, traces back to the source, tables, plots."""
