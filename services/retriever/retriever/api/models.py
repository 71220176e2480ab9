"""`GET /v1/models`: OpenAI's list of what can be asked."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from retriever.api.deps import Reader, StackDep

router = APIRouter(tags=["models"])


class Model(BaseModel):
    """A model that answers through this retriever."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "bulkhead"


class ModelList(BaseModel):
    """OpenAI's list shape."""

    object: Literal["list"] = "list"
    data: list[Model]


@router.get("/v1/models", name="model.list", summary="List the models")
async def models(principal: Reader, stack: StackDep) -> ModelList:
    """The models that the model server offers."""
    return ModelList(data=[Model(id=model.id) for model in await stack.llm.models()])


@router.get("/v1/models/{name:path}", name="model.get", summary="Look a model up")
async def model(name: str, principal: Reader, stack: StackDep) -> Model:
    """The model of this name, as a request may name it. 404 where there is none."""
    return Model(id=(await stack.llm.served(name)).id)
