"""The real processes under load: CPU per request, added latency, memory, against nginx and other gateways."""
