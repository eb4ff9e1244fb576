"""A common recipe: FastAPI, an asyncio.Queue, and a task that forms batches."""

import asyncio
import contextlib
import os
import time

import numpy
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

MAX_BATCH_SIZE = int(os.environ["MAX_BATCH_SIZE"])
MAX_WAIT_SECONDS = int(os.environ["MAX_WAIT_MS"]) / 1000

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(os.environ["INTRA_OP_THREADS"])
session = onnxruntime.InferenceSession(
    os.environ["MODEL_PATH"], options, providers=["CPUExecutionProvider"]
)
queue = asyncio.Queue()


class PredictRequest(BaseModel):
    features: list[float]
    request_id: str | None = None


class PredictResponse(BaseModel):
    prediction: int
    confidence: float
    latency_ms: float
    batch_size: int
    request_id: str | None = None


async def make_batches():
    while True:
        batch = [await queue.get()]
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while len(batch) < MAX_BATCH_SIZE:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                batch.append(await asyncio.wait_for(queue.get(), left))
            except TimeoutError:
                break
        rows = numpy.array([features for features, _ in batch], dtype=numpy.float32)
        try:
            labels, probabilities = session.run(["label", "probabilities"], {"features": rows})
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            continue
        for (_, future), label, row in zip(batch, labels, probabilities):
            if not future.done():
                future.set_result((int(label), float(row.max()), len(batch)))


@contextlib.asynccontextmanager
async def lifespan(_app):
    task = asyncio.create_task(make_batches())
    yield
    task.cancel()


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
async def predict(request: PredictRequest) -> PredictResponse:
    start = time.perf_counter()
    future = asyncio.get_running_loop().create_future()
    await queue.put((request.features, future))
    prediction, confidence, batch_size = await asyncio.wait_for(future, 5)
    return PredictResponse(
        prediction=prediction,
        confidence=confidence,
        latency_ms=(time.perf_counter() - start) * 1000,
        batch_size=batch_size,
        request_id=request.request_id,
    )
