"""A model that calls the tools that its question names, `DO: tool {arguments}`, and then speaks.

The bundled model calls tools badly; what is tested here is what stands behind the call.
"""

import re
import sys
from typing import Any

import uvicorn

sys.path.append("/support")
from scripted_llm import ScriptedLLM, Turn

_DO = re.compile(r"DO: ?(\S+) (\{.*\})")


def obey(body: dict[str, Any]) -> Turn:
    """The calls of the last question, once; after them it has nothing more to say."""
    asked = next(one for one in reversed(body["messages"]) if one["role"] == "user")
    if not body.get("tools") or any(one["role"] == "tool" for one in body["messages"]):
        return Turn("I do not know.")
    return Turn(calls=_DO.findall(asked["content"]))


if __name__ == "__main__":
    model = ScriptedLLM()
    model.script = obey
    uvicorn.run(model.app, host="0.0.0.0", port=8000)
