"""The side of the workers: claim sessions, hold them by a lease, keep the leases."""
