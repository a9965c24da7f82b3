"""One request at one endpoint: sent, read as it comes, put together, ended."""
