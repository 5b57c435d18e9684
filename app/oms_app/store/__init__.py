"""The durable side of the application: tables, units of work, read models and migrations, on PostgreSQL and SQLite."""
