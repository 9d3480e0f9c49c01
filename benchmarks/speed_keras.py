"""The other side of benchmarks/speed.py: the textbook Keras CNN-LSTM, and PyPI's detect-tumor.

It runs in an environment of their own, imports nothing of TumorLens, reads one JSON request a line from stdin, and
answers one a line on stdout. With `--cold MODEL PICTURE` it is what a script of the usual notebook does: import Keras,
load the model, name the picture.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import keras
import numpy as np
import tensorflow as tf
from keras import layers

LAST = "last_convolution"


def textbook(size: int, augment: bool = False) -> keras.Model:
    """The paper's CNN-LSTM as the usual notebook writes it."""
    network = [keras.Input((size, size, 1))]
    if augment:
        network += [layers.RandomFlip("horizontal"), layers.RandomRotation(0.05), layers.RandomZoom(0.1)]
    for number, width in enumerate((32, 64, 128)):
        name = LAST if number == 2 else None
        network += [layers.Conv2D(width, 3, padding="same", activation="relu", name=name), layers.MaxPooling2D()]
    network += [layers.Reshape((-1, 128)), layers.LSTM(128), layers.Dense(64, activation="relu")]
    network += [layers.Dropout(0.5), layers.Dense(4, activation="softmax")]
    x = network[0]
    for layer in network[1:]:
        x = layer(x)
    return keras.Model(network[0], x)


class Keras:
    """Its ways to answer, by name."""

    def __init__(self, size: int, batch: int) -> None:
        self.model = textbook(size)
        self.scans = np.random.default_rng(0).random((batch, size, size, 1), np.float32)
        self.halves = keras.Model(self.model.inputs, [self.model.get_layer(LAST).output, self.model.output])
        self.function = tf.function(lambda scans: self.model(scans, training=False))
        self.traced = tf.function(self.grad_cam)

    def run(self, way: str) -> None:
        """Answers the batch once."""
        if way == "predict":
            self.model.predict(self.scans, verbose=0)
        elif way == "call":
            self.model(self.scans, training=False).numpy()
        elif way == "tf.function":
            self.function(tf.constant(self.scans)).numpy()
        elif way == "Grad-CAM in a tf.function":
            self.traced(tf.constant(self.scans)).numpy()
        else:
            self.grad_cam(self.scans).numpy()

    def grad_cam(self, scans: tf.Tensor) -> tf.Tensor:
        """As in keras.io's example "Grad-CAM class activation visualization"; but the second model is made once."""
        with tf.GradientTape() as tape:
            maps, probabilities = self.halves(scans)
            score = probabilities[:, tf.argmax(probabilities[0])]
        weights = tf.reduce_mean(tape.gradient(score, maps), axis=(0, 1, 2))
        heat = tf.squeeze(maps[0] @ weights[..., tf.newaxis])
        return tf.maximum(heat, 0) / tf.math.reduce_max(heat)


def detector() -> Callable[[], None]:
    """PyPI's detect-tumor: a VGG16 in ONNX Runtime, without explanation."""
    import onnxruntime
    from detect_tumor import TumorDetector
    from PIL import Image

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # it has no setting for this
    session = onnxruntime.InferenceSession
    onnxruntime.InferenceSession = lambda model, **rest: session(model, options, **rest)
    found = TumorDetector()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (240, 240), dtype=np.uint8))
    return lambda: found.predict(picture)


def train(size: int, count: int, epochs: int, augment: bool) -> list[float]:
    """Seconds of each epoch of `model.fit`, batches of 32, Adam."""
    model = textbook(size, augment)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    scans, labels = rng.random((count, size, size, 1), np.float32), rng.integers(0, 4, count)
    seconds = []
    for _ in range(epochs):
        began = time.perf_counter()
        model.fit(scans, labels, batch_size=32, epochs=1, verbose=0)
        seconds.append(time.perf_counter() - began)
    return seconds


def timed(do: Callable[[], Any], repeats: int) -> list[float]:
    """Seconds of each call."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        do()
        seconds.append(time.perf_counter() - began)
    return seconds


def serve() -> None:
    """Answers requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else prints must not get between the answers
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    made: dict[tuple[int, int], Keras] = {}
    detect: Callable[[], None] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "train":
                seconds = train(*(request[key] for key in ("size", "count", "epochs", "augment")))
            elif request["do"] == "detect-tumor":
                detect = detect or detector()
                seconds = timed(detect, request["repeats"])
            elif request["do"] == "save":
                textbook(request["size"]).save(request["path"])
                seconds = []
            else:
                key = (request["size"], request["batch"])
                network = made.setdefault(key, Keras(*key)) if key not in made else made[key]
                seconds = timed(lambda: network.run(request["do"]), request["repeats"])  # noqa: B023
            answer: dict[str, Any] = {"seconds": seconds}
        except Exception as error:  # noqa: BLE001 - the other side decides what to do without this figure
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def cold(model: str, picture: str) -> None:
    """From nothing to a class."""
    from PIL import Image

    network = keras.saving.load_model(model)
    size = network.input_shape[1]
    scan = np.asarray(Image.open(picture).convert("L").resize((size, size)), np.float32)[None, ..., None] / 255
    print(network.predict(scan, verbose=0).argmax())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--cold"]:
        cold(*sys.argv[2:4])
    else:
        serve()
