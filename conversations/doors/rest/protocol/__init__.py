"""What do all resources of `/api/v1` share? Keys, bodies, the envelope, codes, ids, pages."""
