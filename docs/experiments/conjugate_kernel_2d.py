"""Classifies points of a square by networks, and by their kernels during training.

The experiment of Qadeer et al. 2023, arXiv 2310.18612, with the settings of its code:
classes are above and below ``y = 0.2 + 0.6 x - 0.8 x^2`` on [-1, 1]^2; a grid of 12 by
8 points to train, 23 by 22 to test; three Dense layers, 128 wide, tanh and a softmax;
squared errors; float64; Adam on all points at once at a learning rate of 1e-5, until
99 % of the training points are right or for 4000 epochs. Kernel logistic regression
without ridge takes at most 12 rounds of Newton's method; beside it is one with a ridge
of 1e-3, ours.

    python docs/experiments/conjugate_kernel_2d.py --seeds 10 --out /tmp/plots
    expect: docs/results/kernels.md
"""

import numpy as np
import shared

NETWORK = "network"
RIDGES = {"conjugate kernel": (0.0, 12), "conjugate kernel, ridge": (1e-3, 50)}
METHODS = (NETWORK, *RIDGES)
ENOUGH = 0.99  # of the training points; the network ends there


def grid(columns: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns points (columns * rows, 2) and their classes, 0 above the boundary."""
    mesh = np.meshgrid(
        np.linspace(-1, 1, columns), np.linspace(-1, 1, rows), indexing="ij"
    )
    x, y = (each.ravel() for each in mesh)
    return np.stack([x, y], axis=1), (y <= 0.2 + 0.6 * x - 0.8 * x**2).astype(int)


def scores(chances: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Returns the mean cross-entropy and the share of points that are right."""
    # As far as float64 can tell a chance from 0.
    own = np.maximum(chances[np.arange(len(labels)), labels], np.finfo(float).tiny)
    return float(-np.log(own).mean()), float((chances.argmax(axis=1) == labels).mean())


def train(seed: int, epochs: int, every: int, width: int) -> dict:
    """Returns {method: stages of (cross-entropy, share right)} on the test points."""
    import keras

    from kphotoz.kernels import KernelLogisticRegression

    last = {"units": 2, "activation": "softmax"}
    model = shared.network(2, 3, width, "tanh", last, seed)
    model.compile(keras.optimizers.Adam(1e-5, epsilon=1e-8), "mse")
    # By name, so that the two classes have one output as in the paper.
    kernel = KernelLogisticRegression(model, "hidden_2")
    (x, labels), (new, wanted) = grid(12, 8), grid(23, 22)
    found = {method: [] for method in METHODS}
    for epoch in range(1, epochs + 1):
        model.train_on_batch(x, np.eye(2)[labels])
        if epoch % every:
            continue
        found[NETWORK].append(scores(model.predict_on_batch(new), wanted))
        for method, (ridge, rounds) in RIDGES.items():
            kernel.fit(x, labels, ridge=ridge, rounds=rounds)
            found[method].append(scores(kernel.predict(new), wanted))
        if scores(model.predict_on_batch(x), labels)[1] >= ENOUGH:
            break
    return found


def main() -> None:
    """Trains the networks, prints what they reach and draws it."""
    options = shared.arguments(__doc__, seeds=10)
    shared.prepare()
    epochs, every, width = (80, 40, 16) if options.quick else (4000, 40, 128)
    runs = [train(seed, epochs, every, width) for seed in range(options.seeds)]
    stages = np.arange(every, epochs + 1, every)
    curves = {m: np.full((len(runs), len(stages)), np.nan) for m in METHODS}
    result = {"epochs": shared.summary([every * len(run[NETWORK]) for run in runs])}
    for method in METHODS:
        for line, run in zip(curves[method], runs, strict=True):
            line[: len(run[method])] = [entropy for entropy, _ in run[method]]
        entropies, rights = zip(*(run[method][-1] for run in runs), strict=True)
        ends = [run[NETWORK][-1] for run in runs]
        both = list(zip(entropies, rights, ends, strict=True))
        result[method] = {
            "cross-entropy": shared.summary(list(entropies)),
            "right": shared.summary(list(rights)),
            "less cross-entropy": sum(e < end[0] for e, _, end in both),
            "more right": sum(r > end[1] for _, r, end in both),
        }
        print(f"{method:24} {result[method]}", flush=True)
    if options.out:
        path = options.out / "conjugate_kernel_2d.png"
        shared.plot({"tanh": curves}, stages, "test cross-entropy", path)
    shared.finish(result, options)


if __name__ == "__main__":
    main()
