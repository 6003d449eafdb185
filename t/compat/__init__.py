"""Other projects' own test suites, run with this package and with the published one."""
