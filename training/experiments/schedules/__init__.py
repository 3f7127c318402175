"""Schedules: the entropy trigger beside fixed switches on one data set, and the picture of it.

Knows runs of the trainer; knows nothing about serving.
"""
