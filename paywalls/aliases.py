"""A paywall's own names for models, such as `fast`."""

from config.kit import ids, limits
from config.kit.errors import InvalidRequestError
from paywalls import audit
from paywalls.models import ModelAlias, Paywall


def set_alias(paywall: Paywall, alias: str, target: str, *, actor: str) -> ModelAlias:
    """Let `alias` stand for the model `target`, in the caller's transaction.

    Raises: InvalidRequestError for a malformed name, or a target that is an alias itself.
    """
    audit.lock(paywall)
    alias, target = _read(alias, "alias"), _read(target, "model")
    aliases = ModelAlias.objects.filter(paywall=paywall)
    if alias == target or aliases.filter(alias=target).exists():
        raise InvalidRequestError("An alias names a model, not another alias.", param="model")
    if aliases.filter(target=alias).exists():
        raise InvalidRequestError("Another alias stands for this name already.", param="alias")
    known = aliases.filter(alias=alias).first()
    if known and known.target == target:
        return known
    saved, _ = ModelAlias.objects.update_or_create(
        paywall=paywall, alias=alias, defaults={"target": target}
    )
    audit.record(
        paywall=paywall,
        actor=actor,
        action="alias.set",
        subject=ids.encode("alias", saved.pk),
        before=_facts(known) if known else None,
        after=_facts(saved),
    )
    return saved


def remove_alias(paywall: Paywall, alias: str, *, actor: str) -> None:
    """Forget an alias, in the caller's transaction; one that is not there stays so."""
    audit.lock(paywall)
    for known in ModelAlias.objects.filter(paywall=paywall, alias=alias):
        audit.record(
            paywall=paywall,
            actor=actor,
            action="alias.removed",
            subject=ids.encode("alias", known.pk),
            before=_facts(known),
        )
        known.delete()


def _facts(alias: ModelAlias) -> dict[str, object]:
    return {"alias": alias.alias, "target": alias.target}


def _read(text: str, param: str) -> str:
    name = text.strip()
    if not name or len(name) > limits.MODEL_CHARS_MAX or not name.isprintable() or " " in name:
        raise InvalidRequestError(
            f"A model name has 1 to {limits.MODEL_CHARS_MAX} visible characters without spaces.",
            param=param,
        )
    return name
