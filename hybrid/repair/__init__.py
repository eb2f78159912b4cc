"""Repair: what becomes of deliveries that failed."""
