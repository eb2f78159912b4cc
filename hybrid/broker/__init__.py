"""The broker: shards, settling, groups of topics, retention, the ledger."""
