"""`earnings`: what a team has earned, and what of it can be withdrawn."""

from typing import Any

from django.conf import settings

from billing import earnings
from billing.management.payouts import TeamCommand, read_team
from config.kit import ids
from config.kit.commands import Answer
from config.kit.money import format_nanos


class Command(TeamCommand):
    """Shows earnings."""

    help = (
        "Show a team's earnings from Shared paywalls: pending, cleared, what stays as a reserve, "
        "what is owed, what can be withdrawn now, and what clears on which day."
    )

    def act(self, options: dict[str, Any], _actor: str) -> Answer:
        team, livemode = read_team(options)
        now = earnings.read(team, livemode=livemode)
        coming = earnings.forecast(team, livemode=livemode)
        figures = {
            "pending": now.pending_nanos,
            "cleared": now.cleared_nanos,
            "reserve": now.reserve_nanos,
            "owed": now.owed_nanos,
            "available": now.available_nanos,
        }
        shown = {name: format_nanos(nanos) for name, nanos in figures.items()}
        lines = [
            f"{name:<10}{amount} {settings.PLATFORM_CURRENCY}" for name, amount in shown.items()
        ]
        lines += [f"{day}  {format_nanos(nanos)} clears" for day, nanos in coming]
        return Answer(
            text="\n".join(lines),
            facts={
                "team": ids.encode("team", team.pk),
                "livemode": livemode,
                "currency": settings.PLATFORM_CURRENCY,
                **shown,
                "clears": {str(day): format_nanos(nanos) for day, nanos in coming},
            },
        )
