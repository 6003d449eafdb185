"""Brokers in key-value servers: what etcd's and Consul's transports share.

``port.py`` says what such a server must be able to do; everything above it (which keys there
are, claims, dead owners, delays, topology, waiting) stands here once.
"""
