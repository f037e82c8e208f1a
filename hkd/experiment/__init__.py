"""Settings to live objects: networks, methods, their samples and their errors."""
