"""Labelling: which item a person gets next, what people said about it, and how far they agree.

Pages, API and commands use `labels.Labelling`. A person is just a name here; accounts are handled elsewhere.
"""
