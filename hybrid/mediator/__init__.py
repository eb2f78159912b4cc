"""Mediators: the simple one that classifies and handles or delegates, and those that know the steps of
flows.
"""
