"""The order's path: intake -> pretrade -> routing -> submission -> booking -> publishing; the rest stands beside it."""
