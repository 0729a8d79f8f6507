"""Any bytes: what the readers of the formats make of them. `python tests/fuzz N`, or `make fuzz`."""
