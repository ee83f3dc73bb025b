"""Labelling: which item a person gets next, what they said of it, and how far people agree.

`labels.Labelling` is what pages, API and commands use. Not for accounts: a person is a name here.
"""
