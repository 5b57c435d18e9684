"""Risk rules that stand before every order: quantity, notional, price collar, position, message rate, duplicates."""
