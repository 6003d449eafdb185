"""What transports are tested with, in this distribution and in others.

``kombu.testing.faults`` needs nothing but the standard library;
``kombu.testing.conformance`` needs pytest, ``kombu.testing.conformance.model`` hypothesis too.
Nothing of it is imported by ``import kombu``.
"""
