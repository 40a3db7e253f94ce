"""The whole way of the data behind locked doors: TLS, users, and rights that suffice exactly."""
