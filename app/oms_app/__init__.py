"""The application: HTTP, storage and processes around the kernel; it runs whatever plugins are installed."""
