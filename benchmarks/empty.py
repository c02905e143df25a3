"""The baseline: a FastAPI POST handler that reads its body and answers nothing."""

import sys

import uvicorn
from fastapi import FastAPI, Request, Response

app = FastAPI(openapi_url=None)


@app.get("/readyz")
async def ready() -> Response:
    return Response()


@app.post("/")
async def empty(request: Request) -> Response:
    await request.body()
    return Response()


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        log_level="warning",
        access_log=False,
        loop="uvloop",
        http="httptools",
    )
