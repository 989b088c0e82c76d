"""What people allow: asked for once, given by one fresh yes, withdrawn for good."""

import datetime as dt

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from config.kit import clock
from config.kit.errors import InvalidRequestError
from paywalls import grants, links, users
from paywalls.errors import (
    ApprovalExpiredError,
    ApprovalForeignError,
    ApprovalUsedError,
    GrantClosedError,
    GrantStandsError,
)
from paywalls.grants import GrantTerms
from paywalls.models import Approval, Change, EndUser, Grant, GrantRequest, Paywall
from tests.factories import EndUserFactory, PaywallFactory
from tests.support.shared import make_person

TERMS = GrantTerms(cap_nanos=5_000, cap_period="month")


@pytest.fixture
def request_() -> GrantRequest:
    """A pending request of a user of a Shared paywall."""
    return asked_by(EndUserFactory.create(paywall=shared(), wallet_id=None))


def shared() -> Paywall:
    made: Paywall = PaywallFactory.create(mode=Paywall.Mode.SHARED)
    return made


def asked_by(user: EndUser) -> GrantRequest:
    return GrantRequest.objects.create(paywall=user.paywall, end_user=user)


@transaction.atomic
def mint(request_, person) -> str:
    return grants.mint(request_, person)


@transaction.atomic
def approve(token, person, terms=TERMS) -> Grant:
    return grants.approve(token, person, terms, consent={"terms": "1"})


def given(request_, person=None) -> Grant:
    person = person or make_person()
    return approve(mint(request_, person), person)


class TestLinks:
    def test_it_leads_to_the_newest_request(self, request_):
        token = links.authorize_url(request_.end_user_id).rsplit("/", 1)[1]
        assert grants.find_request(token) == request_
        request_.state, request_.closed_at = "declined", clock.now()
        request_.save(update_fields=["state", "closed_at"])
        newer = asked_by(request_.end_user)
        assert grants.find_request(token) == newer

    @pytest.mark.parametrize("token", ["", "x", "a" * 42, "é"])
    def test_other_texts_lead_nowhere(self, token):
        assert grants.find_request(token) is None

    def test_a_link_to_a_checkout_is_another(self, request_):
        assert grants.find_request(links.checkout_token(request_.end_user_id)) is None


@pytest.mark.proves("F73")
class TestApproving:
    def test_one_fresh_yes_opens_the_wallet(self, request_):
        person = make_person()
        grant = given(request_, person)
        user = EndUser.objects.get(pk=request_.end_user_id)
        assert user.wallet_id is not None
        request_.refresh_from_db()
        assert (request_.state, request_.person_id) == ("approved", person.pk)
        change = Change.objects.get(subject=grant.public_id)
        assert (change.actor, change.paywall_id) == (person.public_id, None)

    def test_it_is_good_once(self, request_):
        person = make_person()
        token = mint(request_, person)
        approve(token, person)
        with pytest.raises(ApprovalUsedError):
            approve(token, person)
        assert Grant.objects.filter(end_user=request_.end_user_id).count() == 1

    def test_it_is_one_persons(self, request_):
        token = mint(request_, make_person())
        with pytest.raises(ApprovalForeignError):
            approve(token, make_person())

    def test_it_ends_by_the_databases_clock(self, request_, owner):
        person = make_person()
        token = mint(request_, person)
        owner.execute(
            "UPDATE paywalls_approval SET expires_at = clock_timestamp() WHERE request_id = %s",
            [request_.pk],
        )
        with pytest.raises(ApprovalExpiredError):
            approve(token, person)

    def test_a_guess_is_none(self):
        with pytest.raises(ApprovalExpiredError):
            approve("guess", make_person())

    def test_only_a_hash_is_kept(self, request_):
        token = mint(request_, make_person())
        kept = Approval.objects.get(request=request_)
        assert token.encode() not in bytes(kept.token_hash)

    def test_an_older_approval_of_an_answered_request_is_used(self, request_):
        person, other = make_person(), make_person()
        old = mint(request_, other)
        given(request_, person)
        with pytest.raises(ApprovalUsedError):
            approve(old, other)

    def test_nobody_takes_a_user_over(self, request_):
        given(request_)
        thief = make_person()
        token = mint(request_, thief)
        with pytest.raises(GrantStandsError):
            approve(token, thief)

    def test_the_database_keeps_it_at_one_wallet(self, request_):
        first = given(request_)
        with pytest.raises(IntegrityError), transaction.atomic():
            Grant.objects.create(
                paywall=first.paywall,
                end_user=first.end_user,
                person=make_person(),
                request=request_,
                livemode=True,
                cap=1,
                cap_period="day",
            )

    def test_a_second_user_of_the_app_asks_again(self, request_):
        person = make_person()
        given(request_, person)
        other = EndUserFactory.create(paywall=request_.paywall, wallet_id=None)
        assert grants.standing(other) is None
        token = mint(asked_by(other), person)
        assert EndUser.objects.get(pk=other.pk).wallet_id is None
        approve(token, person)
        assert EndUser.objects.get(pk=other.pk).wallet_id is not None

    def test_after_its_end_it_can_be_given_anew(self, request_, owner):
        first = given(request_)
        owner.execute(
            "UPDATE paywalls_grant SET ends_at = clock_timestamp() WHERE id = %s", [first.pk]
        )
        person = make_person()
        second = given(request_, person)
        assert grants.standing(request_.end_user) == second

    @pytest.mark.parametrize(
        ("terms", "param"),
        [
            ({"cap_nanos": 0}, "cap"),
            ({"cap_nanos": 10**18 + 1}, "cap"),
            ({"cap_period": "year"}, "cap_period"),
            ({"request_most_nanos": 0}, "request_most"),
            ({"ends_at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}, "ends_at"),
        ],
    )
    def test_terms_that_cannot_be(self, request_, terms, param):
        person = make_person()
        token = mint(request_, person)
        wrong = GrantTerms(**{"cap_nanos": 1, "cap_period": "day", **terms})
        with pytest.raises(InvalidRequestError) as refused:
            approve(token, person, wrong)
        assert refused.value.param == param
        approve(token, person)

    def test_a_blocked_user_cannot_be_allowed(self, request_):
        EndUser.objects.filter(pk=request_.end_user_id).update(blocked_at=clock.now())
        with pytest.raises(GrantClosedError):
            mint(request_, make_person())

    def test_default_paywalls_have_no_grants(self):
        user = EndUserFactory.create()
        person = make_person()
        token = mint(asked_by(user), person)
        with pytest.raises(DatabaseError):
            approve(token, person)


class TestLater:
    def test_terms_change_and_pause_and_resume(self, request_):
        person = make_person()
        grant = given(request_, person)
        with transaction.atomic():
            grants.change(grant, person, GrantTerms(cap_nanos=7, cap_period="day"))
            grants.pause(grant, person)
        grant.refresh_from_db()
        assert (grant.cap, grant.cap_period) == (7, "day")
        assert grant.paused_at is not None
        with transaction.atomic():
            assert grants.resume(grant, person).paused_at is None
        actions = Change.objects.filter(subject=grant.public_id).values_list("action", flat=True)
        assert set(actions) == {"grant.approved", "grant.changed", "grant.paused", "grant.resumed"}

    @transaction.atomic
    def test_only_its_owner_may(self, request_):
        grant, other = given(request_), make_person()
        for act in (grants.pause, grants.resume):
            with pytest.raises(ApprovalForeignError):
                act(grant, other)

    def test_withdrawn_is_withdrawn(self, request_):
        person = make_person()
        grant = given(request_, person)
        with transaction.atomic():
            grants.revoke(grant, actor=person.public_id)
            again = grants.revoke(grant, actor="somebody")
        assert again.revoked_by == person.public_id
        assert EndUser.objects.get(pk=request_.end_user_id).wallet_id is None
        with transaction.atomic(), pytest.raises(GrantClosedError):
            grants.resume(grant, person)
        with pytest.raises(DatabaseError), transaction.atomic():
            Grant.objects.filter(pk=grant.pk).update(revoked_at=None)
        with pytest.raises(DatabaseError), transaction.atomic():
            Grant.objects.filter(pk=grant.pk).delete()

    def test_an_erased_user_spends_nothing(self, request_):
        grant = given(request_)
        with transaction.atomic():
            users.erase(request_.end_user, actor="command:tests")
        grant.refresh_from_db()
        assert grant.revoked_at is not None

    def test_a_no_is_kept_and_a_new_wish_is_new(self, request_):
        person = make_person()
        with transaction.atomic():
            grants.decline(request_, person, "no thanks")
            grants.decline(request_, None, "again")
        request_.refresh_from_db()
        assert (request_.state, request_.reason) == ("declined", "no thanks")
        mint(request_, person)
        pending = GrantRequest.objects.get(end_user=request_.end_user_id, state="pending")
        assert pending != request_

    def test_a_person_sees_what_it_allowed(self, request_):
        person = make_person()
        grant = given(request_, person)
        (found,) = grants.grants_of(person, livemode=True)
        assert (found.grant, found.spent_nanos, found.left_nanos) == (grant, 0, 5_000)
        assert grants.grants_of(person, livemode=False) == []
