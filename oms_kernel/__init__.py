"""The language of orders and the contracts of plugins: all that a plugin author imports."""
