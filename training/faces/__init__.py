"""Family ``faces``: the gender and the age that a face seems to have."""
