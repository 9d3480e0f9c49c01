"""How the database came to its shape; `python -m alembic` is not needed, `tumorlens serve` applies them."""
