"""Fits exp(sin 2 pi x) by networks, and by their kernels while they are trained.

The experiment of Qadeer et al. 2023, arXiv 2310.18612, with the settings of its code:
200 equispaced points of [-1, 1) to train, 600 to test, the 200 among them; four Dense
layers, 128 wide; ReLU at a learning rate of 1e-3 or tanh at 5e-3; float64; Adam on all
points at once, 1200 epochs; least squares without ridge. Errors are root mean squares.

    python docs/experiments/conjugate_kernel_1d.py --seeds 5 --out /tmp/plots
    expect: docs/results/kernels.md
"""

import numpy as np
import shared

RATES = {"relu": 1e-3, "tanh": 5e-3}
METHODS = ("network", "conjugate kernel", "neural tangent kernel")


def function(x: np.ndarray) -> np.ndarray:
    """Returns exp(sin 2 pi x)."""
    return np.exp(np.sin(2 * np.pi * x))


def grid(points: int) -> np.ndarray:
    """Returns equispaced points of [-1, 1), (points, 1)."""
    return np.linspace(-1, 1, points, endpoint=False)[:, None]


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    """Returns the root mean square of the difference."""
    return float(np.sqrt(np.mean(np.square(found - wanted))))


def train(activation: str, seed: int, epochs: int, every: int, width: int) -> dict:
    """Returns {set: {method: errors of each stage}} of one network."""
    import keras

    from kphotoz.kernels import ConjugateKernel, NeuralTangentKernel

    model = shared.network(1, 4, width, activation, {"units": 1}, seed)
    model.compile(keras.optimizers.Adam(RATES[activation], epsilon=1e-8), "mse")
    kernels = {
        "conjugate kernel": ConjugateKernel(model, batch_size=600),
        "neural tangent kernel": NeuralTangentKernel(model, batch_size=600),
    }
    x = {"train": grid(200), "test": grid(600)}
    y = {name: function(each) for name, each in x.items()}
    found = {name: {method: [] for method in METHODS} for name in x}
    for epoch in range(1, epochs + 1):
        model.train_on_batch(x["train"], y["train"])
        if epoch % every:
            continue
        for kernel in kernels.values():
            kernel.fit(x["train"], y["train"])
        for name in x:
            stage = {"network": model.predict_on_batch(x[name])}
            stage |= {key: each.predict(x[name]) for key, each in kernels.items()}
            for method, values in stage.items():
                found[name][method].append(error(values, y[name]))
    return found


def main() -> None:
    """Trains the networks, prints errors and draws them."""
    options = shared.arguments(__doc__, seeds=5)
    shared.prepare()
    epochs, every, width = (60, 30, 16) if options.quick else (1200, 30, 128)
    curves, result = {}, {}
    for activation in RATES:
        runs = [
            train(activation, seed, epochs, every, width)
            for seed in range(options.seeds)
        ]
        test = {m: np.array([run["test"][m] for run in runs]) for m in METHODS}
        curves[activation] = test
        result[activation] = {
            name: {
                method: shared.summary([run[name][method][-1] for run in runs])
                for method in METHODS
            }
            for name in ("train", "test")
        }
        for method in METHODS[1:]:
            won = test[method] < test["network"]
            result[activation][f"{method} better"] = {
                "seeds at the end": int(won[:, -1].sum()),
                "share of all stages": round(float(won.mean()), 3),
            }
        for method in METHODS:
            each = result[activation]["test"][method]
            print(f"{activation:5} {method:22} test error {each}", flush=True)
    if options.out:
        stages = np.arange(every, epochs + 1, every)
        path = options.out / "conjugate_kernel_1d.png"
        shared.plot(curves, stages, "test error (RMS)", path)
    shared.finish(result, options)


if __name__ == "__main__":
    main()
