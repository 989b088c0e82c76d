"""What must be proved: faults F, bad inputs B, crash points C and invariants I, by their numbers.

A test says what it proves with `@pytest.mark.proves("F9", "C4")`; `./run faults` prints the table.
T are threats: a test may name one, and none is demanded.
"""

import re
from typing import Final

KINDS: Final = "FBCIT"
"""In this order they are printed."""

NUMBER: Final = re.compile(rf"[{KINDS}](0|[1-9][0-9]?)")

FAULTS: Final = {
    "F1": "a stream with usage is charged once, and passed on unchanged",
    "F2": "a stream without usage is charged by our own count",
    "F3": "usage that only we asked for is charged, and not passed on",
    "F4": "a provider's 5xx before any byte costs nothing",
    "F5": "a provider's 429 is passed on with Retry-After and costs nothing",
    "F6": "a refused provider key is told to the developer, and to nobody else",
    "F7": "a provider that never answers: 504, free of charge",
    "F8": "headers, then silence: an error in the stream, free of charge",
    "F9": "a reset in mid-stream is not dressed up as an end; the delivered part is paid",
    "F10": "a stream that just stops counts as cut",
    "F11": "an error inside a stream is no output",
    "F12": "odd framing of a stream arrives unharmed; garbage does not arrive",
    "F13": "a very long event is delivered, an absurd one is cut",
    "F14": "a stream without end stops at its hold or its time",
    "F15": "a provider that ignores max_tokens is cut at the hold",
    "F16": "bombs and floods are aborted in bounded memory",
    "F17": "an answer in the other shape is delivered or refused, and paid once",
    "F18": "absurd usage is bounded and flagged",
    "F19": "choices, tools, reasoning, cache, refusals: charged by the table",
    "F20": "redirects are not followed, cookies and hop headers not passed on",
    "F21": "another attempt only before the first byte; one settlement",
    "F22": "a client that leaves before the answer stops it, free of charge",
    "F23": "a client that leaves pays for what was delivered",
    "F24": "with policy drain it pays all; drains are bounded",
    "F25": "a client that leaves just before the settlement is charged once",
    "F26": "a slow reader slows the provider down, not the memory up",
    "F27": "hundreds of trickling connections delay nobody else",
    "F28": "a crowd on one wallet spends what it holds, and no more",
    "F29": "fifty identical charges are one",
    "F30": "a repeat after a lost response gets that response",
    "F31": "a key again with another body, address or paywall",
    "F32": "a deposit's key is good for ever",
    "F33": "kill -9 at every crash point",
    "F34": "SIGTERM with a hundred streams",
    "F35": "a process that slept past its leases books nothing more",
    "F36": "PostgreSQL crashes again and again under load",
    "F37": "PostgreSQL is away for a minute amid streams",
    "F38": "the connection breaks just after COMMIT was sent",
    "F39": "no connection to be had: a quick 503, and a live loop",
    "F40": "deadlocks and serialization failures are tried again",
    "F41": "Valkey is down, slow or empty: requests and money do not notice",
    "F42": "a worker killed within a task, before and after its commit",
    "F43": "a task twice at once, and a queue that was purged",
    "F44": "two hours without the timetable",
    "F45": "a server's clock ten minutes off",
    "F46": "a full disk: refused, and well again without repair",
    "F47": "a slow query of the dashboard does not slow the proxy",
    "F48": "old and new code settle each other's holds",
    "F49": "five copies of an event, the return page and the reconciler at once: one credit",
    "F50": "events of a payment and its refund in any order: the same balance",
    "F51": "forged events: refused, nothing kept; no secret is ever empty",
    "F52": "what another paywall or a changed amount says is not credited",
    "F53": "a delayed payment is credited when it arrives, and never when it fails",
    "F54": "a crash between an event and its credit",
    "F55": "webhooks lost altogether: the reconciler credits",
    "F56": "partial refunds, failed ones, disputes: the net is Stripe's, debts block spending",
    "F57": "Stripe fails while a session is made: one session, and a page that says so",
    "F58": "a key that was revoked: payments are unavailable, and nothing breaks",
    "F59": "links cost no call; clicks at most 25 a second, one open session each",
    "F61": "a webhook made twice, or by somebody who died: one is left",
    "F62": "sessions that expire or are paid late: closed, credited once",
    "F75": "a storm of bad keys costs little and delays no good one",
    "F76": "withdrawals in parallel, amid a dispute, after a new destination: one, once, later",
    "F77": "migrations under load; old code refuses a newer schema",
    "F80": "new encryption keys and peppers under load",
    "F82": "a soak: memory, files, connections and latency stay flat",
    "F83": "random operations against a model of the ledger",
    "F84": "every guard is missed by a test when it is taken out",
}

INPUTS: Final = {
    "B1": "empty body",
    "B2": "not JSON, not an object, not UTF-8",
    "B3": "numbers that JSON does not have",
    "B4": "too deep, too many members, the same member twice",
    "B5": "too long, wrongly framed, compressed",
    "B6": "forms where JSON belongs",
    "B7": "other methods and trailing slashes",
    "B8": "broken, huge, repeated and look-alike headers",
    "B9": "models that are missing, unknown, unpriced or no name",
    "B10": "max_tokens out of range, of a wrong type, twice",
    "B11": "n and best_of out of range",
    "B12": "messages: none, too many, broken, with internal addresses",
    "B13": "stream and stream_options of a wrong type",
    "B14": "fields that would choose where a request goes",
    "B15": "template syntax stays text",
    "B16": "unknown fields",
    "B17": "no user",
    "B18": "two sources that name different users",
    "B19": "ids of users that are empty, long, odd or reserved",
    "B20": "an id that looks like an address of e-mail",
    "B21": "one id in two paywalls is two wallets",
    "B22": "keys that are wrong, revoked, expired or in the query",
    "B23": "bearer tokens that attack",
    "B24": "a session at the API, a key at the pages",
    "B25": "amounts that are no amounts",
    "B26": "currencies that are not the paywall's",
    "B27": "a deposit in Shared mode",
    "B28": "metadata that is long or deep",
    "B29": "Idempotency-Keys that are empty, long or not visible ASCII",
    "B30": "http://127.0.0.1:6379/",
    "B31": "http://[::1]/",
    "B32": "an address as one decimal number",
    "B33": "an address in octal",
    "B34": "a shortened address; zero",
    "B35": "an address in circled digits",
    "B36": "an IPv4 address mapped into IPv6",
    "B37": "an IPv4 address behind NAT64",
    "B38": "an IPv4 address in 6to4",
    "B39": "metadata services of clouds",
    "B40": "user names and backslashes in front of another host",
    "B41": "a fragment in front of another host",
    "B42": "control characters within a host",
    "B43": "an escaped NUL within a host",
    "B44": "a name with a public and a private address",
    "B45": "a name that changes its address",
    "B46": "a redirect to a private address",
    "B47": "other schemes, and none",
    "B48": "this installation itself; internal names",
    "B49": "ports of other services, user info, very long addresses",
    "B50": "Stripe's events: bodies and signatures that are none",
    "B51": "Stripe's events: unknown types",
    "B52": "Stripe's events: thin ones of its other API",
    "B53": "Stripe's events: fields that miss, another mode or account",
}

CRASHES: Final = {
    "C0": "before the hold is committed",
    "C1": "held, not sent to the provider",
    "C2": "sent, no answer yet",
    "C3": "the provider answers, the client has nothing yet",
    "C4": "in mid-stream",
    "C5": "all delivered, the settlement not begun",
    "C6": "within the settlement's commit",
    "C7": "settled, the last bytes not sent",
    "C8": "settled, the follow-up work not started",
    "C9": "the reaper itself dies",
    "C10": "the database comes back without its last commits",
}

INVARIANTS: Final = {
    "I1": "every transaction balances and has two legs",
    "I2": "each currency adds up to zero",
    "I3": "balances are what the entries say",
    "I4": "what is held is what open holds hold",
    "I5": "nothing is below zero",
    "I6": "each account's entries form a chain",
    "I7": "a hold's charge is what its transaction took",
    "I8": "no hold is open long past its lease",
    "I9": "ended holds ended after they began",
    "I10": "every request that was sent ended in a charge or a reason",
    "I11": "payments from outside are credited once",
    "I12": "a reversal is never more than its original",
    "I13": "the parts of a shared charge add up",
    "I14": "nobody withdraws more than was earned",
    "I15": "one currency a transaction",
    "I16": "a charge touches one paywall, and stays below its grant",
    "I17": "idempotency rows end or are leased",
    "I18": "the journal is append-only, provably from outside",
    "I19": "rating a request again gives its charge",
    "I20": "nothing received or queued is forgotten",
    "I21": "the books agree with the payment service's",
    "I22": "no entry is absurdly large",
}

TITLES: Final = FAULTS | INPUTS | CRASHES | INVARIANTS

LATER: Final[dict[str, str]] = {}
"""What the product cannot be tested for yet, and why."""

PENDING: Final[frozenset[str]] = frozenset()
"""What has no test yet; who writes one takes its number out."""


def in_order(number: str) -> tuple[int, int]:
    """A key to sort numbers by: kind, then number."""
    return KINDS.index(number[0]), int(number[1:])
