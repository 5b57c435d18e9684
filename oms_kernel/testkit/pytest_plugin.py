"""The test kit as pytest sees it: loaded by entry point in every environment that has the kernel and pytest."""
