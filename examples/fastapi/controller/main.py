from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def index() -> dict:
    return {"hello": "world"}


@app.get("/health")
def health() -> dict:
    return {"health": "ok"}
