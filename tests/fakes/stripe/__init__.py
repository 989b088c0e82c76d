"""A stand-in for Stripe: stateful, signing, for tests and the demo. Nothing here costs money.

In a test, `server.running()`; in the demo, `uvicorn tests.fakes.stripe.app:app`. The product sees
it through `stripe.StripeClient(key, base_addresses={"api": url})` and its webhook endpoints alone.

What is held to stripe-python itself: the API version, every parameter's name, kind and enumeration
(`params.py`), and the shape of every object (`shapes.py`).

**Served under /v1**: checkout sessions (payment, subscription, setup; line items, expire),
payment_intents (off-session, declines, bank's questions), setup_intents, payment_methods (Stripe's
test cards by name), charges, refunds, disputes, radar early_fraud_warnings, customers, products,
prices, coupons, promotion_codes, subscriptions, invoices, invoiceitems, invoice_payments,
billing_portal sessions and configurations, webhook_endpoints, events, balance,
balance_transactions; for Connect, with the `Stripe-Account` header: accounts, account_links,
transfers, reversals, payouts. With expand[], cursors, Idempotency-Key as v1 of the API treats it,
and restricted keys' permissions. Keys: `keys.seeded("rk", "test")`, also sk and live; others by
`/_test/keys`. What is not served is refused with a message that says so.

**Pages**: /c/pay/{session} with Pay, Decline, Cancel; /c/authenticate/{intent}; /p/session/{id}
(cancel, keep, change plan, replace the card); /invoices/{id}; /receipts/{charge};
/setup/{account}/{link}.

**Driven by** (JSON; `control.py` says what each takes):

    POST /_test/sessions/{id}/pay|pay_async|decline|expire|async_succeed|async_fail
    POST /_test/events/replay|delay|reorder|drop|flush|emit   POST /_test/events/{id}/forge
    POST /_test/endpoints/{id}/send
    GET  /_test/events/about/{any id}   GET /_test/events/{id}/signed   GET /_test/deliveries
    POST /_test/clock/advance
    POST /_test/refunds                 POST /_test/refunds/{id}/succeed|fail
    POST /_test/disputes/{charge}/open|withdraw|update|reinstate|win|lose|close
    POST /_test/fraud_warnings/{charge} POST /_test/intents/{id}/approve|refuse
    POST /_test/customers/{id}/card     GET, POST /_test/objects/{id}
    POST /_test/accounts/{id}/onboard   POST /_test/payouts/{id}/arrive|fail
    POST /_test/keys                    POST /_test/keys/{key}/revoke|restore
    POST, DELETE /_test/faults          GET, DELETE /_test/calls     POST /_test/reset

Where a charge is wanted, its payment intent or checkout session will do. Amounts are whole minor
units. Deliveries carry the real time in their signature; everything else goes by a clock that
`clock/advance` moves on. Tax, where switched on, is 20 %.
"""
