"""Own data in: tables of any common kind become the folder that training reads.

Knows file formats, what their columns mean and what to leave out; knows nothing about models.
"""
