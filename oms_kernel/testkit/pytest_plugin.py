"""The test kit as pytest sees it: loaded by entry point wherever the kernel and pytest are installed."""
