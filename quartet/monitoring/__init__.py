"""Monitoring as code: the queries, rules and dashboard of Quartet servers."""
