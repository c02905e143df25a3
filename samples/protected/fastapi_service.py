"""A FastAPI service that the broker decides for: docs/services.md.

broker services set orders --account 111122223333 --host 127.0.0.1:9000
export BROKER_ORIGIN=http://127.0.0.1:8080
export BROKER_SERVICE_TOKEN=...   # of: broker services token orders --account ...
uvicorn --app-dir samples/protected fastapi_service:app --port 9000

curl --aws-sigv4 aws:amz:us-east-1:execute-api --user KEY:SECRET \
        -H "X-Amz-Security-Token: TOKEN" http://127.0.0.1:9000/orders/7
"""

import os
from typing import Any

from fastapi import FastAPI, Request

from broker.client import AsgiMiddleware, DecisionClient, Principal

app = FastAPI(openapi_url=None)
app.add_middleware(
    AsgiMiddleware,
    client=DecisionClient(
        os.environ["BROKER_ORIGIN"], os.environ["BROKER_SERVICE_TOKEN"]
    ),
    open_paths={"/healthz"},
)


@app.get("/healthz")
def healthz() -> dict[str, str]:
    """Answer everybody."""
    return {"status": "ok"}


@app.get("/orders/{order}")
def get_order(order: str, request: Request) -> dict[str, Any]:
    """Answer whom the broker has let through."""
    principal: Principal = request.state.principal
    return {"Order": order, "For": principal.arn, "Tags": dict(principal.tags)}


@app.put("/orders/{order}")
async def put_order(order: str, request: Request) -> dict[str, Any]:
    """Take a body, which is the one that was signed."""
    body = await request.body()
    return {"Order": order, "Bytes": len(body)}
