"""What the reviewers asked for: shots, number and quality of synthetic pairs, generator size, options, a smaller cache."""
