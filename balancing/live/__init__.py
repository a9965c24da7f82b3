"""What all workers know together of the endpoints, in Valkey: slots, rates, speeds, failures."""
