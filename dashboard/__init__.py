"""Pages for people, over what the rest knows."""
