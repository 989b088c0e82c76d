"""Developers and teams."""

from typing import Any, override

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.http import HttpRequest

from config.kit import ids
from paywalls import audit, teams
from paywalls.admin.base import ServiceAdmin, actor
from paywalls.models import Membership, Team, User

AUDITED = ("email", "name", "is_staff", "is_superuser", "is_active")


class NewDeveloperForm(AdminUserCreationForm):  # type: ignore[type-arg]
    """A developer is known by the e-mail address."""

    class Meta:
        model = User
        fields = ("email",)

    def clean_email(self) -> str:
        return User.objects.normalize_email(self.cleaned_data["email"])


class DeveloperForm(UserChangeForm):  # type: ignore[type-arg]
    """The same, once made."""

    class Meta:
        model = User
        fields = "__all__"
        field_classes: dict[str, type[forms.Field]] = {}

    def clean_email(self) -> str:
        return User.objects.normalize_email(self.cleaned_data["email"])


@admin.register(User)
class DeveloperAdmin(UserAdmin):  # type: ignore[type-arg]
    """Developers and staff. Who leaves is made inactive, never deleted."""

    form = DeveloperForm
    add_form = NewDeveloperForm
    ordering = ("email",)
    list_display = ("email", "name", "is_staff", "is_active", "created_at", "last_login")
    list_filter = ("is_staff", "is_active")
    search_fields = ("email", "name")
    readonly_fields = ("created_at", "last_login")
    filter_horizontal = ("groups", "user_permissions")
    fieldsets = (
        (None, {"fields": ("email", "password", "name")}),
        (
            "May",
            {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")},
        ),
        ("Times", {"fields": ("created_at", "last_login")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("email", "usable_password", "password1", "password2"),
            },
        ),
    )

    @override
    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    @override
    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        known = User.objects.filter(pk=obj.pk).first() if change else None
        super().save_model(request, obj, form, change)
        audit.record(
            paywall=None,
            actor=actor(request),
            action="developer.changed" if change else "developer.created",
            subject=ids.encode("dev", obj.pk),
            before={name: getattr(known, name) for name in AUDITED[2:]} if known else None,
            after={name: getattr(obj, name) for name in AUDITED[2:]},
        )


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    """Who belongs to a team."""

    model = Membership
    extra = 0
    fields = ("user", "role")
    raw_id_fields = ("user",)


@admin.register(Team)
class TeamAdmin(ServiceAdmin[Team]):
    """Teams and their members."""

    list_display = ("name", "id", "created_at")
    search_fields = ("name", "members__email")
    readonly_fields = ("id", "created_at")
    inlines = (MembershipInline,)

    @override
    def save_model(self, request: HttpRequest, obj: Team, form: Any, change: bool) -> None:
        known = Team.objects.filter(pk=obj.pk).first() if change else None
        super().save_model(request, obj, form, change)
        audit.record(
            paywall=None,
            actor=actor(request),
            action="team.changed" if change else "team.created",
            subject=ids.encode("team", obj.pk),
            before={"name": known.name} if known else None,
            after={"name": obj.name},
        )

    @override
    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        who = actor(request)
        changed = formset.save(commit=False)
        for membership in changed:
            teams.set_role(membership.team, membership.user, membership.role, actor=who)
        for membership in formset.deleted_objects:
            teams.remove_member(membership.team, membership.user, actor=who)
