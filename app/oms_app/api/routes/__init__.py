"""The routes by resource: each module ends in a table ENDPOINTS that says everything about its operations."""
