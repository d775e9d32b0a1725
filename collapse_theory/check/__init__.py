"""Check: theory against simulation, and data against the assumptions of the theory."""
