"""Guards of earnings and withdrawals: paid once, never more than there is, to the right place."""

from typing import Final

from tests.mutation.guard import Guard, InFile, InFunction, InSchema

HERE: Final = "tests/billing/withdrawals/"
EARNINGS: Final = f"{HERE}test_earnings.py"
REQUESTS: Final = f"{HERE}test_requests.py"
BANK: Final = f"{HERE}test_bank.py"
BOOKS: Final = f"{HERE}test_books.py"
QUEUE: Final = f"{HERE}test_commands.py::TestQueue"
STRIPE: Final = "tests/stripe/test_payouts.py"

PAYOUTS: Final[tuple[Guard, ...]] = (
    InFunction(
        name="clearing_of_young_earnings",
        protects="what was earned too lately does not clear",
        function="billing_clear",
        old="v_pending - v_young",
        new="v_pending",
        tests=(EARNINGS,),
    ),
    InFunction(
        name="clearing_below_zero",
        protects="what refunds took beyond pending earnings comes out of cleared ones",
        function="billing_clear",
        old="WHEN v_pending < 0 THEN",
        new="WHEN false THEN",
        tests=(f"{EARNINGS}::TestTakenBack",),
    ),
    InFunction(
        name="earnings_locked",
        protects="of parallel withdrawals one sees what the other took",
        function="billing_earnings_lock",
        old=" FOR NO KEY UPDATE",
        new="",
        tests=(f"{REQUESTS}::TestTogether",),
    ),
    InFunction(
        name="withdrawal_of_what_is_free",
        protects="nothing but cleared earnings is withdrawn, and not the reserve",
        function="billing_withdraw",
        old="ELSIF v_amount > v_available THEN",
        new="ELSIF false THEN",
        tests=(f"{REQUESTS}::TestRequest",),
    ),
    InFunction(
        name="refunds_before_withdrawals",
        protects="what refunds have taken beyond pending earnings is not withdrawn",
        function="billing_earnings",
        old="+ least(v_pending, 0) ",
        new="",
        tests=(f"{EARNINGS}::TestTakenBack",),
    ),
    InFunction(
        name="withdrawal_key",
        protects="a key is one withdrawal, of one amount",
        function="billing_withdraw",
        old="v_old.fingerprint IS DISTINCT FROM decode(p ->> 'print', 'hex')",
        new="false",
        tests=(f"{REQUESTS}::TestRequest",),
    ),
    InFunction(
        name="destination_delay",
        protects="nothing is paid at once to a destination that was just changed",
        function="billing_withdraw",
        old="+ make_interval(hours => v_terms.destination_delay_hours)",
        new="",
        tests=(f"{REQUESTS}::TestTogether",),
    ),
    InFunction(
        name="second_person",
        protects="who asks does not approve",
        function="billing_withdrawal_move",
        old="v_to = 'approved' AND w.requested_by = p ->> 'actor'",
        new="false",
        tests=(f"{REQUESTS}::TestApproval", QUEUE),
    ),
    InFunction(
        name="withdrawal_ends_once",
        protects="a withdrawal that failed or was cancelled does not end again",
        function="billing_withdrawal_move",
        old="    IF w.state = v_to THEN",
        new="    IF false THEN",
        tests=(f"{REQUESTS}::TestEnds",),
    ),
    InFunction(
        name="withdrawal_on_its_way",
        protects="what may be paid already is not cancelled",
        function="billing_withdrawal_claim",
        old="CASE state WHEN 'approved' THEN 'sent' ELSE state END",
        new="state",
        tests=(STRIPE,),
    ),
    InFunction(
        name="batch_of_one_mode",
        protects="test money is not sent to a bank",
        function="billing_bank_batch",
        old=" AND w.livemode = v_live",
        new="",
        tests=(BANK,),
    ),
    InSchema(
        name="withdrawals_kept",
        protects="no withdrawal vanishes",
        statement="DROP TRIGGER withdrawal_kept ON billing_withdrawal",
        tests=(BOOKS,),
    ),
    InFile(
        name="destination_by_owners",
        protects="only owners choose where earnings go",
        file="billing/withdrawals/destinations.py",
        old="    require_right(by, team, Right.MANAGE_PAYOUTS)\n    made = Destination(\n",
        new="    made = Destination(\n",
        tests=(f"{REQUESTS}::TestRequest",),
    ),
    InFile(
        name="transfer_once",
        protects="a withdrawal is one transfer, also when Stripe has forgotten the key",
        file="billing/stripe/transfers.py",
        old="        if found:\n",
        new="        if found and False:\n",
        tests=(STRIPE,),
    ),
    InFile(
        name="payouts_while_books_are_broken",
        protects="nothing goes out while the ledger breaks a promise",
        file="billing/withdrawals/paying.py",
        old="if broken := broken_invariants():",
        new="if (broken := broken_invariants()) and False:",
        tests=(STRIPE,),
    ),
    InFile(
        name="transfer_taken_back",
        protects="a payout that failed is not kept by the team and given back as well",
        file="billing/stripe/transfers.py",
        old="            _take_back(v1, withdrawal)\n            why =",
        new="            why =",
        tests=(STRIPE,),
    ),
    InFile(
        name="iban_adds_up",
        protects="a mistyped bank account is refused",
        file="billing/withdrawals/bank.py",
        old="% 97 == 1",
        new="% 97 >= 0",
        tests=(BANK,),
    ),
)
