"""Is an endpoint well? Probes, ejection, learned limits, and a test on an operator's word."""
