"""What the method's levers are worth, what a run costs and how near it comes to the hardware: `make bench`."""
