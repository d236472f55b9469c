"""Server-sent events: what changed, so that pages ask again."""
