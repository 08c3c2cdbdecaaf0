"""`refdiff serve`: the HTTP API, in one process; the only room that imports FastAPI and uvicorn (extra `serve`)."""
