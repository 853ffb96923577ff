"""What the gateway adds in front of a provider; run by `make bench-gateway`."""
