"""The tables as PyDAL knows them; `migrations` makes them in the database."""

from __future__ import annotations

from pydal import DAL, Field


def define(dal: DAL) -> None:
    """Define every table that is asked through PyDAL."""
    dal.define_table(
        "users",
        Field("email"),
        Field("password_hash"),
        Field("full_name"),
        Field("role"),
        Field("is_active", "boolean"),
        Field("created_at", "datetime"),
        Field("signed_in_at", "datetime"),
    )
    dal.define_table(
        "sessions",
        Field("user_id", "reference users"),
        Field("created_at", "datetime"),
        Field("expires_at", "datetime"),
        Field("revoked_at", "datetime"),
    )
    dal.define_table(
        "refresh_tokens",
        Field("session_id", "reference sessions"),
        Field("token_hash"),
        Field("used_at", "datetime"),
        Field("used_by"),
        Field("reuses", "integer", default=0),
    )
    dal.define_table(
        "known_clients",
        Field("user_id", "reference users"),
        Field("client"),
        Field("seen_at", "datetime"),
    )
    dal.define_table(
        "api_tokens",
        Field("user_id", "reference users"),
        Field("name"),
        Field("token_hash"),
        Field("scopes"),
        Field("created_at", "datetime"),
        Field("expires_at", "datetime"),
        Field("revoked_at", "datetime"),
        Field("used_at", "datetime"),
    )
    dal.define_table(
        "audit",
        Field("moment", "datetime"),
        Field("request_id"),
        Field("user_id", "integer"),
        Field("account"),
        Field("token_id", "integer"),
        Field("client"),
        Field("action"),
        Field("target"),
        Field("was", "text"),
        Field("became", "text"),
    )
    dal.define_table(
        "idempotency_keys",
        Field("user_id", "reference users"),
        Field("token_id", "integer"),
        Field("key_hash"),
        Field("request_hash"),
        Field("began_at", "datetime"),
        Field("state"),
        Field("status", "integer"),
        Field("etag"),
        Field("answer", "text"),
    )
    dal.define_table(
        "policy_copies",
        Field("host"),
        Field("policy"),
        Field("revision", "integer"),
        Field("digest"),
        Field("document", "text"),
        Field("kept_at", "datetime"),
    )
    dal.define_table(
        "drops",
        Field("host"),
        Field("moment", "bigint"),
        Field("interface"),
        Field("queue", "bigint"),
        Field("verdict"),
        Field("reason"),
        Field("part"),
        Field("would"),
        Field("would_reason"),
        Field("would_part"),
        Field("length", "bigint"),
        Field("source"),
        Field("source_key"),
        Field("destination"),
        Field("protocol", "integer"),
        Field("source_port", "integer"),
        Field("destination_port", "integer"),
        Field("vlan", "integer"),
        Field("lost", "bigint"),
    )
