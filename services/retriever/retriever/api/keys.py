"""`/v1/keys`: make, list, rotate and revoke the keys of a tenant."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from bulkhead.auth import Role
from retriever.api.body import JsonRoute
from retriever.api.deps import Admin, EventDep, StackDep
from retriever.api.text_schemas import Group
from retriever.keys import NewKey
from retriever.limits import Limits

router = APIRouter(tags=["keys"], route_class=JsonRoute)


class KeyRequest(BaseModel):
    """Whom a new key stands for."""

    model_config = ConfigDict(extra="forbid")

    tenant: Group = Field(examples=["acme"])
    groups: list[Group] = Field(
        [], max_length=64, description="Beside what is open to the tenant, it sees what these see."
    )
    role: Role = Field(
        description="`reader` asks; `writer` also changes documents; `admin` sees all of the "
        "tenant and manages its keys."
    )
    name: str = Field("", max_length=200, description="For people.", examples=["the wiki's robot"])
    limits: Limits | None = Field(
        None, description="Left out, those of whoever makes it; never above them."
    )


class Key(BaseModel):
    """A key, without the key itself."""

    id: str = Field(description="Stays the same when the key is rotated.")
    object: Literal["key"] = "key"
    tenant: str
    groups: list[str]
    role: Role
    name: str
    limits: Limits
    created_at: str
    rotated_at: str | None
    revoked_at: str | None


class NewlyMadeKey(Key):
    """A key that was just made, shown this once."""

    key: str = Field(description="Send it as `Authorization: Bearer …`. It is not kept.")


class KeyPage(BaseModel):
    """A page of keys, oldest first."""

    object: Literal["list"] = "list"
    data: list[Key]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page.")


@router.post("/v1/keys", status_code=201, name="key.create", summary="Make a key")
async def create_key(
    body: KeyRequest, admin: Admin, stack: StackDep, event: EventDep
) -> NewlyMadeKey:
    """Make a key. Only the operator's key can make one for another tenant."""
    new = NewKey(body.tenant, tuple(body.groups), body.role, body.name, body.limits)
    made, key = await stack.keys.create(admin, new)
    event.target = made.id
    return NewlyMadeKey(**Key.model_validate(made, from_attributes=True).model_dump(), key=key)


@router.get("/v1/keys", name="key.list", summary="List the keys")
async def list_keys(
    admin: Admin,
    stack: StackDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> KeyPage:
    """The keys of the tenant, of every tenant for the operator; those revoked stay in the list."""
    keys, following = await stack.keys.page(admin, limit, cursor)
    return KeyPage(
        data=[Key.model_validate(one, from_attributes=True) for one in keys],
        next_cursor=following,
    )


@router.delete("/v1/keys/{key_id}", status_code=204, name="key.revoke", summary="Revoke a key")
async def revoke_key(key_id: str, admin: Admin, stack: StackDep) -> None:
    """End a key, at once and for good."""
    await stack.keys.revoke(admin, key_id)


@router.post("/v1/keys/{key_id}/rotate", name="key.rotate", summary="Rotate a key")
async def rotate_key(key_id: str, admin: Admin, stack: StackDep) -> NewlyMadeKey:
    """Give the same id and rights a new key; the old one ends at once."""
    rotated, key = await stack.keys.rotate(admin, key_id)
    return NewlyMadeKey(**Key.model_validate(rotated, from_attributes=True).model_dump(), key=key)
