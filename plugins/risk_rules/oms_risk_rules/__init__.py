"""Risk rules before every order: quantity, notional, price collar, position, message rate, duplicates."""
