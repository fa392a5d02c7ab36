"""Every statement on tenants' opportunities."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy

from jobs.sam_gov import core

# Quoted: asyncpg's classes take parameters in its stubs alone.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

_KEPT = tuple(field.name for field in fields(core.Opportunity))


@dataclass(frozen=True, slots=True)
class Upserted:
    created: int = 0
    updated: int = 0
    unchanged: int = 0

    def __add__(self, other: "Upserted") -> "Upserted":
        return Upserted(
            self.created + other.created,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
        )


async def is_tenant_known(db: Connection, tenant_id: UUID) -> bool:
    """Whether there is this tenant; in a transaction it stays until the end."""
    sql = "select true from tenants where tenant_id = $1 for key share"
    return await db.fetchval(sql, tenant_id) is True


async def upsert_opportunities(
    db: Connection, tenant_id: UUID, opportunities: Sequence[core.Opportunity], *, at: datetime
) -> Upserted:
    """Write what is new or has changed; `at` becomes created_at and updated_at.

    Each notice id at most once in a call. A row of the same content is not written again.
    """
    sql = """
        insert into opportunities as kept (
            tenant_id, notice_id, solicitation_number, title, notice_type, base_type,
            department, sub_tier, office, posted_on, response_due_at, response_due_on, archive_on,
            set_aside_code, set_aside, naics_codes, classification_code, is_active,
            award_amount, award_currency, award_number, award_on, awardee_name, awardee_uei,
            place_city, place_state, place_country, contacts, description_url, ui_url,
            resource_urls, content_sha256, created_at, updated_at)
        select $1, new.*, $3, $3
        from jsonb_to_recordset($2::text::jsonb) as new (
            notice_id text, solicitation_number text, title text, notice_type text,
            base_type text, department text, sub_tier text, office text, posted_on date,
            response_due_at timestamptz, response_due_on date, archive_on date,
            set_aside_code text, set_aside text, naics_codes text[], classification_code text,
            is_active boolean, award_amount numeric, award_currency text, award_number text,
            award_on date, awardee_name text, awardee_uei text, place_city text,
            place_state text, place_country text, contacts jsonb, description_url text,
            ui_url text, resource_urls text[], content_sha256 text)
        on conflict (tenant_id, notice_id) do update set
            (solicitation_number, title, notice_type, base_type, department, sub_tier, office,
             posted_on, response_due_at, response_due_on, archive_on, set_aside_code, set_aside,
             naics_codes, classification_code, is_active, award_amount, award_currency,
             award_number, award_on, awardee_name, awardee_uei, place_city, place_state,
             place_country, contacts, description_url, ui_url, resource_urls, content_sha256,
             updated_at)
            = (excluded.solicitation_number, excluded.title, excluded.notice_type,
               excluded.base_type, excluded.department, excluded.sub_tier, excluded.office,
               excluded.posted_on, excluded.response_due_at, excluded.response_due_on,
               excluded.archive_on, excluded.set_aside_code, excluded.set_aside,
               excluded.naics_codes, excluded.classification_code, excluded.is_active,
               excluded.award_amount, excluded.award_currency, excluded.award_number,
               excluded.award_on, excluded.awardee_name, excluded.awardee_uei,
               excluded.place_city, excluded.place_state, excluded.place_country,
               excluded.contacts, excluded.description_url, excluded.ui_url,
               excluded.resource_urls, excluded.content_sha256, excluded.updated_at)
        where kept.content_sha256 <> excluded.content_sha256
        returning xmax = 0 as is_created -- an updated row carries the lock that updated it
    """
    rows = orjson.dumps([_row(opportunity) for opportunity in opportunities], default=str)
    written = await db.fetch(sql, tenant_id, rows.decode(), at)
    created = sum(row["is_created"] for row in written)
    return Upserted(created, len(written) - created, len(opportunities) - len(written))


def _row(opportunity: core.Opportunity) -> dict[str, object]:
    row = {name: getattr(opportunity, name) for name in _KEPT}
    return {**row, "content_sha256": core.content_sha256(opportunity)}
