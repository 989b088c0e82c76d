"""Every limit of the product that is not a setting: named, with its unit and its reason."""

from typing import Final

EXTERNAL_USER_CHARS_MAX: Final = 128
"""An end user's id as the developer knows it."""

IDEMPOTENCY_KEY_CHARS_MAX: Final = 255
"""As long as Stripe allows."""

JSON_DEPTH_MAX: Final = 64
"""Deeper bodies are attacks, not chats."""

JSON_BODY_BYTES_MAX: Final = 65_536
"""A body of the money endpoints: amount, user, metadata."""

JSON_MEMBERS_MAX: Final = 200_000
"""Members of all objects and lists of one body: above what the longest chat has."""

HEAD_BYTES_MAX: Final = 32_768
"""Address and headers of a request: as much as nginx takes."""

BODY_READ_S: Final = 30
"""A body that takes longer to arrive is an attack or a broken line."""

DISCARD_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of a refused body, read so that its sender can read the refusal."""

DISCARD_S: Final = 2
"""How long for."""

QUERY_FIELDS_MAX: Final = 32
"""Fields of a query string."""

METADATA_BYTES_MAX: Final = 8_192
"""Metadata of a charge or deposit, as compact JSON."""

METADATA_DEPTH_MAX: Final = 8
"""Metadata is a label, not a document."""

MESSAGES_MAX: Final = 10_000
"""Messages of one chat: above any model's context."""

MODEL_CHARS_MAX: Final = 200
"""A model id."""

CHOICES_MAX: Final = 128
"""`n`: OpenAI's own bound."""

LABEL_CHARS_MAX: Final = 128
"""X-Paywall-Feature and X-Paywall-Run."""

OUTPUT_TOKENS_MAX: Final = 1_000_000
"""`max_tokens` above this is a mistake, and would make a hold larger than any wallet."""

OUTPUT_TOKENS_LEAST: Final = 16
"""An answer that cannot be this long (or as long as asked for) is a top-up message instead."""

TOOL_CALLS_MAX: Final = 10
"""Calls of a provider's own tools (searches) that a hold covers, where a chat asks for them."""

OUTPUT_TOKENS_DEFAULT: Final = 4_096
"""Assumed where neither the caller nor the catalogue says how long an answer may be."""

SSE_EVENT_BYTES_MAX: Final = 4 * 1024 * 1024
"""One event of a stream (tool arguments can be long)."""

RESPONSE_BYTES_MAX: Final = 64 * 1024 * 1024
"""One answer of a provider."""

WHOLE_BYTES_MAX: Final = 16 * 1024 * 1024
"""One that is no stream: it is kept in memory as a whole."""

ANSWER_MEMBERS_MAX: Final = 1_000_000
"""Brackets and commas of an answer, or of one event: more are no answer, but a bomb."""

HEADER_BYTES_MAX: Final = 65_536
"""All headers of one answer of a provider."""

BATCH_MAX: Final = 256
"""Requests that go to the database in one statement."""

PAGE_ROWS: Final = 50
"""Rows of a page or of an API list."""

PAGE_ROWS_MAX: Final = 200
"""The most that a caller may ask for."""

TEMPLATE_CHARS_MAX: Final = 4_000
"""A paywall message."""

NAME_CHARS_MAX: Final = 100
"""A name that people give to a paywall, a key or a team."""

PRICE_RULES_MAX: Final = 1_000
"""Rules of one price list: a request walks through them once per price and model."""

ALLOWED_MODELS_MAX: Final = 500
"""Entries of a list of allowed models."""

UPSTREAM_QUEUE_BYTES: Final = 262_144
"""Read ahead of a slow client, per request; more waits in the provider's socket."""

UPSTREAM_CONNECTIONS_MAX: Final = 4_096
"""Open connections of one process to one provider: below the usual limit of open files."""

UPSTREAM_SPARE_MAX: Final = 512
"""Kept open for the next request, per process and provider."""

UPSTREAM_SPARE_S: Final = 15
"""Seconds a spare connection is trusted: load balancers close idle ones after 20 to 60."""

CREDITS_NAME_CHARS_MAX: Final = 32
"""What a paywall calls its credits."""

PRICE_NANOS_MAX: Final = 10**15
"""A million units of a currency, for a million tokens or one unit: above any price there is."""

SNAPSHOT_KEYS_MAX: Final = 20_000
"""Keys whose configuration one process remembers; the oldest is forgotten."""

SNAPSHOT_RATES_MAX: Final = 5_000
"""Prices of one paywall that one process remembers: models times features."""

DRAINS_MAX: Final = 64
"""Answers read to their end for clients that left (policy `drain`); further ones are cut off."""

ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
"""An answer that is kept for a repeated Idempotency-Key; longer ones are not kept."""

SUBSCRIPTIONS_MAX: Final = 16
"""Active webhook subscriptions of one paywall: each event is told to all that want it."""

WEBHOOK_BODY_BYTES_MAX: Final = 65_536
"""One event as it is posted: above what its fields can come to."""

MESSAGE_BYTES_MAX: Final = 4_096
"""What a developer's message endpoint may say."""

EVENT_RETENTION_DAYS: Final = 90
"""Events and their deliveries; whole months are dropped, so up to 30 days more."""

PROMO_TRIES_USER_MAX: Final = 10
"""Codes that give nothing, an hour and user: above what somebody mistypes."""

PROMO_TRIES_PAYWALL_MAX: Final = 1_000
"""The same of all users of a paywall together: a guesser may have many."""

LOGIN_CODE_S: Final = 600
"""A mailed code or link to sign in: long enough for slow mail."""

LOGIN_TRIES_MAX: Final = 5
"""Wrong codes for one mail: a guess is right once in 200,000 mails."""

LOGIN_MAILS_PER_HOUR: Final = 5
"""Mails to sign in to one address; what keeps guessing and nuisance small."""

LOGIN_MAILS_PER_DAY: Final = 20
"""The same in a day."""

LOGIN_ASKS_PER_HOUR: Final = 60
"""Wishes to sign in, and codes, from one internet address: an office behind one router."""

PERSON_IDLE_DAYS: Final = 7
"""A person's session that nobody uses."""

PERSON_SESSION_DAYS: Final = 30
"""A person's session, however busy."""

PERSON_SESSIONS_MAX: Final = 20
"""Browsers in which one person is signed in; the oldest is signed out."""

EXPORT_ROWS_MAX: Final = 10_000
"""Movements in one file of a person's own history; another file continues it."""

APPROVAL_S: Final = 900
"""A single-use approval of an app: long enough to read what it may spend."""
