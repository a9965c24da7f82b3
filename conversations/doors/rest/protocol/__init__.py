"""What every resource of `/api/v1` shares: keys, bodies, the envelope, codes, ids and pages."""
