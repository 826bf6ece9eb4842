"""One builder per kind, for all transports."""
