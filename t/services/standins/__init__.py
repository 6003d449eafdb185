"""Stand-ins for services that no registry has a server of; each speaks the real protocol."""
