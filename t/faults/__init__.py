"""Faults measured in the published 5.7.0, as tests that run on either package.

A test uses what both packages have and nothing else, and is named after its fault. It is green
here and red on the published package; where it is green there too, a comment says why.
``python -m t.faults`` runs them on both sides and prints the table.
"""
