"""The only door to Redis: connections, scripts, transitions, streams. Nothing else imports redis."""
