"""The log of what the service did: its events with their fields, and the JSON lines that hold them."""
