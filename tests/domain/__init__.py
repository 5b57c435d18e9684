"""The language of orders, held to independent oracles."""
