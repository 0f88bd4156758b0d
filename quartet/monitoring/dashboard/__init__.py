"""The Grafana dashboard of Quartet servers, as functions that return panels."""
