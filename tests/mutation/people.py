"""Guards of people with a wallet: who they are, what they allowed, and who may see it."""

from typing import Final

from tests.mutation.guard import Guard, InFile

PERSONS: Final = "tests/paywalls/test_persons.py"
LOGIN: Final = "tests/dashboard/test_person_login.py"
AUTHORIZE: Final = "tests/dashboard/test_person_authorize.py"
WALLET: Final = "tests/dashboard/test_person_wallet.py"
VIEWS: Final = "dashboard/views/people"

PEOPLE: Final[tuple[Guard, ...]] = (
    InFile(
        name="login_tries",
        protects="a code is not guessed",
        file="paywalls/logins.py",
        old="is_over = found.used_at or found.tries >= limits.LOGIN_TRIES_MAX",
        new="is_over = found.used_at",
        tests=(f"{PERSONS}::TestCode",),
    ),
    InFile(
        name="login_once",
        protects="a code or link signs in once",
        file="paywalls/logins.py",
        old="    found.used_at = clock.now()\n",
        new="",
        tests=(f"{PERSONS}::TestCode", f"{LOGIN}::TestByLink"),
    ),
    InFile(
        name="login_expires",
        protects="a mail that is found later signs nobody in",
        file="paywalls/logins.py",
        old="return not is_over and clock.now() < found.expires_at",
        new="return not is_over",
        tests=(f"{PERSONS}::TestCode",),
    ),
    InFile(
        name="login_leads_on",
        protects="nobody mails a person straight to an approval",
        file="paywalls/logins.py",
        old='found.next_path if is_asking else ""',
        new="found.next_path",
        tests=(f"{PERSONS}::TestLink", f"{LOGIN}::TestByLink"),
    ),
    InFile(
        name="login_leads_here",
        protects="signing in leads to no other site",
        file=f"{VIEWS}/access.py",
        old='return text if NEXT.fullmatch(text) else ""',
        new="return text",
        tests=(f"{LOGIN}::TestByCode",),
    ),
    InFile(
        name="pace_fails_closed",
        protects="nobody guesses while nobody counts",
        file="paywalls/pace.py",
        old="problem=type(problem).__name__)\n        return False",
        new="problem=type(problem).__name__)\n        return True",
        tests=(f"{PERSONS}::TestPace",),
    ),
    InFile(
        name="signing_out",
        protects="a copied cookie is worth nothing after signing out",
        file=f"{VIEWS}/login.py",
        old="    if session := session_of(request):\n        logins.end_session(session)\n",
        new="",
        tests=(f"{LOGIN}::TestOut",),
    ),
    InFile(
        name="terms_first",
        protects="nobody uses a wallet without its terms",
        file=f"{VIEWS}/access.py",
        old="        if needs_terms(session.person):",
        new="        if False:",
        tests=(f"{LOGIN}::TestTerms",),
    ),
    InFile(
        name="forged_forms",
        protects="another site sends no form in a person's name",
        file="config/settings.py",
        old='    "django.middleware.csrf.CsrfViewMiddleware",\n',
        new="",
        tests=(f"{LOGIN}::TestBadInput", f"{AUTHORIZE}::TestYes"),
    ),
    InFile(
        name="framed_pages",
        protects="nobody is tricked into a click on a page in a frame",
        file="config/settings.py",
        old='"frame-ancestors": [CSP.NONE]',
        new='"frame-ancestors": [CSP.SELF]',
        tests=(f"{AUTHORIZE}::TestYes",),
    ),
    InFile(
        name="looking_ahead",
        protects="a browser that loads ahead makes no approval",
        file=f"{VIEWS}/authorize.py",
        old="if is_looking_ahead(request):",
        new="if False:",
        tests=(f"{AUTHORIZE}::TestYes",),
    ),
    InFile(
        name="approval_once",
        protects="an approval says yes once",
        file="paywalls/grants.py",
        old="if found.used_at is not None or found.request.state != State.PENDING:",
        new="if False:",
        tests=(f"{AUTHORIZE}::TestYes",),
    ),
    InFile(
        name="approval_expires",
        protects="a page that was left open allows nothing",
        file="paywalls/grants.py",
        old="if found.expires_at <= found.now:",
        new="if False:",
        tests=(f"{AUTHORIZE}::TestYes",),
    ),
    InFile(
        name="approval_of_one_person",
        protects="an approval that was made for an attacker is worth nothing at a victim's",
        file="paywalls/grants.py",
        old="if found.person_id != person.pk:",
        new="if False:",
        tests=(f"{AUTHORIZE}::TestYes",),
    ),
    InFile(
        name="fee_agreed_to",
        protects="nobody agrees to another fee than the page showed",
        file=f"{VIEWS}/authorize.py",
        old='if request.POST.get("fee") != str(number):',
        new="if False:",
        tests=(f"{AUTHORIZE}::TestThePage",),
    ),
    InFile(
        name="stopping_by_looking",
        protects="a mail scanner stops no app",
        file=f"{VIEWS}/stop.py",
        old='if request.method == "POST":',
        new="if True:",
        tests=(f"{AUTHORIZE}::TestTheMail",),
    ),
    InFile(
        name="own_apps",
        protects="nobody sees or changes what another person allowed",
        file=f"{VIEWS}/apps.py",
        old=".filter(pk=grant_id, person=person)",
        new=".filter(pk=grant_id)",
        tests=(f"{WALLET}::TestHome",),
    ),
    InFile(
        name="closing_with_money",
        protects="closing an account loses nobody's money",
        file=f"{VIEWS}/account.py",
        old="    if not _purse(person).is_empty or _is_paying(person):",
        new="    if False:",
        tests=(f"{WALLET}::TestClose",),
    ),
    InFile(
        name="formulas_in_files",
        protects="an app's name runs nothing in a spreadsheet",
        file=f"{VIEWS}/activity.py",
        old="text.startswith(FORMULA)",
        new="False",
        tests=(f"{WALLET}::TestActivity",),
    ),
    InFile(
        name="mailbox_at_home",
        protects="nobody's codes are shown to everybody",
        file="config/checks.py",
        old="if not settings.DEMO_MAILBOX or",
        new="if True or",
        tests=("tests/config/test_checks.py",),
    ),
)
