"""Tests of the kernel and the application, mirroring their sources; each plugin has its own beside it."""
