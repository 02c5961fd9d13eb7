"""Whether runs of a quarter of the epochs find the ridge for less: trained, compared, and searched with."""
