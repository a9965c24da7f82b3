"""A soak with one endpoint that behaves badly in many ways, beside two good ones."""
