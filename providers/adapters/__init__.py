"""One file per provider: pure translations between the OpenAI shape and what it expects."""
