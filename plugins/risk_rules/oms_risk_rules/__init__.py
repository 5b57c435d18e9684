"""Risk rules before every order, and monitors of what comes of it: size, price, pace, positions, exposure, losses."""
