"""Every module that serves a part of the API or of `_test`; importing them makes that known."""

from tests.fakes.stripe import (
    balance,
    bills,
    catalog,
    charges,
    checkout,
    connect,
    control_events,
    control_money,
    coupons,
    customers,
    disputes,
    endpoints,
    events,
    intents,
    methods,
    payment_pages,
    plans,
    portal,
    refunds,
    setups,
    transfers,
)

MODULES = (
    *(balance, bills, catalog, charges, checkout, connect, coupons, customers, disputes),
    *(endpoints, events, intents, methods, payment_pages, plans, portal, refunds, setups),
    *(transfers, control_events, control_money),
)
