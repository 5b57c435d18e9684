"""The command line: starts processes, and asks the API or the database for people and programs."""
