"""Recording and alerting rules for Prometheus, with their thresholds."""
