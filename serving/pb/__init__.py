"""Generated from ``protos/`` by ``make proto``; never edited, except for ``_pool``."""
