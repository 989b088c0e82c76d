"""Guards of Shared mode's money: within what people allowed, shared exactly, theirs alone."""

from typing import Final

from tests.mutation.guard import Guard, InFile, InFunction, InSchema

HERE: Final = "tests/billing/test_shared.py"
RACES: Final = "tests/billing/test_shared_races.py"
SPLITS: Final = "tests/billing/test_splits.py"
GRANTS: Final = "tests/paywalls/test_grants.py"
API: Final = "tests/proxy/test_shared.py"

SHARED: Final[tuple[Guard, ...]] = (
    InFunction(
        name="grant_needed",
        protects="nobody spends of a wallet without a grant that is open",
        function="billing_shared_facts",
        old="AND g.paused_at IS NULL",
        new="",
        tests=(f"{HERE}::TestWithdrawing",),
    ),
    InFunction(
        name="grant_ends",
        protects="a grant ends at its last moment",
        function="billing_shared_facts",
        old="g.ends_at > ledger_now(u.livemode)",
        new="true",
        tests=(f"{HERE}::TestWithdrawing",),
    ),
    InFunction(
        name="request_most",
        protects="one request sets aside no more than its grant says",
        function="billing_shared_place",
        old="least(v_want, v.o_most)",
        new="v_want",
        tests=(f"{HERE}::TestReserve",),
    ),
    InFunction(
        name="cap_of_a_batch",
        protects="a batch does not spend past a person's limit",
        function="ledger_place_counted",
        old="r.cap < r.want",
        new="0 > r.want",
        tests=(RACES,),
    ),
    InFunction(
        name="wallet_of_a_capped_batch",
        protects="a batch with limits does not reserve more than the wallet has",
        function="ledger_place_counted",
        old=" OR a.posted - a.held - a.floor < r.want",
        new="",
        tests=(RACES,),
    ),
    InFunction(
        name="cap_of_one",
        protects="one request does not spend past a person's limit",
        function="ledger_place_capped",
        old="p_want <= p_cap - CASE",
        new="0 <= p_cap + CASE",
        tests=(f"{HERE}::TestReserve",),
    ),
    InFunction(
        name="wallet_lock_for_caps",
        protects="two processes do not spend one limit twice",
        function="ledger_place_capped",
        old="a.id = p_account FOR NO KEY UPDATE",
        new="a.id = p_account",
        tests=(RACES,),
    ),
    InFunction(
        name="caps_of_all_time",
        protects="a limit in all counts everything",
        function="ledger_counters_check",
        old="v_limit - v_row.total_spent < p_least OR v_row.total_spent >= v_limit",
        new="false",
        tests=(f"{HERE}::TestReserve",),
    ),
    InFunction(
        name="earnings_of_the_team",
        protects="a Shared charge goes to the paywall's own team",
        function="billing_settle_one",
        old="w.team_id = a.owner AND ",
        new="",
        tests=(f"{SPLITS}::TestCharges",),
    ),
    InFunction(
        name="earnings_of_the_team_in_a_batch",
        protects="a batch of Shared charges goes to the paywalls' own teams",
        function="billing_settle_many",
        old="w.team_id = a.owner AND ",
        new="",
        tests=(f"{SPLITS}::TestCharges",),
    ),
    InFunction(
        name="shared_by_the_reaper",
        protects="a charge is shared where nobody was left to settle it",
        function="billing_reap",
        old="v_hold.facts ? 'parties'",
        new="false",
        tests=(f"{SPLITS}::TestCharges",),
    ),
    InFunction(
        name="fee_out_of_what_is_left",
        protects="the fee never takes what the provider's cost needs",
        function="billing_parts",
        old="p_charge - p_cost), 0)",
        new="p_charge), 0)",
        tests=(SPLITS,),
    ),
    InFunction(
        name="fee_of_the_beginning",
        protects="a fee does not reach back",
        function="billing_split_one",
        old="valid_from <= p_begun",
        new="valid_from <= clock_timestamp()",
        tests=(f"{SPLITS}::TestCharges",),
    ),
    InFunction(
        name="refunds_of_shared_charges",
        protects="refunds of a shared charge never pass it",
        function="billing_shared_refund",
        old="v_amount > v_hold.settled - v_back",
        new="false",
        tests=(f"{SPLITS}::TestRefunds",),
    ),
    InFunction(
        name="nobodys_hand_in_a_wallet",
        protects="no developer gives to or takes from a person's wallet",
        function="billing_default_only",
        old="AND mode = 'shared'",
        new="AND mode = 'nothing'",
        tests=(f"{HERE}::TestHands",),
    ),
    InSchema(
        name="grant_for_good",
        protects="a withdrawn grant stays withdrawn",
        statement="DROP TRIGGER grant_fixed ON paywalls_grant",
        tests=(f"{GRANTS}::TestLater",),
    ),
    InSchema(
        name="one_grant",
        protects="a user has one wallet at most",
        statement="DROP INDEX grant_once",
        tests=(f"{GRANTS}::TestApproving",),
    ),
    InFile(
        name="built_in_at_cost",
        protects="nothing is sold below what the operator pays for it",
        file="proxy/snapshot.py",
        old="rules.resolve_covering if is_built_in else rules.resolve",
        new="rules.resolve",
        tests=(f"{API}::TestPaying",),
    ),
)
