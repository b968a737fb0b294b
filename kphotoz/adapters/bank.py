"""Several adapters of one base: exchanged, weighed against each other, mixed by row."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from kphotoz.adapters import paths
from kphotoz.adapters.inventory import (
    adapters_of,
    check_finite,
    check_present,
    merge,
    put_aside,
)
from kphotoz.adapters.state import (
    State,
    base_state,
    held,
    read_state,
    slot,
    write_state,
)
from kphotoz.adapters.storage import load
from kphotoz.errors import InputError

__all__ = ["AdapterBank"]


class AdapterBank:
    """Named adapters of one base, one of which is in `model` at a time.

    All have the same slots: layers, ranks, alphas, layers trained in full, and policy
    of batch normalisation. So an exchange writes values into variables, and nothing is
    built, traced or compiled anew.

    Args:
        base: built model the adapters were made for; it stays untouched.
        adapters: {name: adapter file, or model that `apply` or `load` made of `base`}.
            The first is active.

    Raises:
        InputError: no adapter, or one that does not fit the base or the first one.
    """

    def __init__(
        self, base: keras.Model, adapters: Mapping[str, str | os.PathLike | keras.Model]
    ) -> None:
        if not adapters:
            raise InputError("Wanted: at least one adapter. Received: none.")
        self._base = base
        self._states: dict[str, State] = {}
        self._plain: keras.Model | None = None
        first = next(iter(adapters))
        source = adapters[first]
        self.model = source if isinstance(source, keras.Model) else load(base, source)
        check_finite(adapters_of(self.model))
        self._states[first] = read_state(self.model)
        self._nothing = base_state(self.model, base)
        self.active = first
        for name in list(adapters)[1:]:
            self.add(name, adapters[name])

    @property
    def names(self) -> list[str]:
        """The adapters' names, in the order of adding."""
        return list(self._states)

    def add(self, name: str, source: str | os.PathLike | keras.Model) -> None:
        """Adds an adapter; which is active does not change.

        Args:
            name: str. New.
            source: adapter file, or model that `apply` or `load` made of the same base.

        Raises:
            InputError: the name is taken, or the adapter has other slots.
        """
        if not name or name in self._states:
            raise InputError(
                f"Wanted: a name that is not one of {', '.join(self.names)}. "
                f"Received: {name!r}."
            )
        other = source if isinstance(source, keras.Model) else load(self._base, source)
        mine, theirs = slot(self.model), slot(other)
        if mine != theirs:
            odd = next(key for key in mine if mine[key] != theirs.get(key))
            raise InputError(
                f"Wanted: an adapter with {odd} {mine[odd]} as the others. Received: "
                f"{theirs.get(odd)} in {name!r}. Give it a model of its own with "
                "kphotoz.adapters.load."
            )
        check_finite(adapters_of(other))
        self._states[name] = read_state(other)

    def set_active(self, name: str) -> None:
        """Puts an adapter into `model`; what the one before has learned is kept.

        Raises:
            InputError: no such name, or called within `disabled` or `merged`.
        """
        self._known([name])
        check_present(self.model, "set_active")
        self._states[self.active] = read_state(self.model)
        write_state(self.model, self._states[name])
        self.active = name

    def delete(self, name: str) -> None:
        """Forgets an adapter.

        Raises:
            InputError: no such name, or it is active.
        """
        self._known([name])
        if name == self.active:
            raise InputError(
                f"Wanted: an adapter that is not active. Received: {name!r}. Activate "
                "another one first."
            )
        del self._states[name]

    @contextlib.contextmanager
    def disabled(self) -> Iterator[keras.Model]:
        """Within it `model` gives the base's outputs; afterwards all is as before."""
        with held(self.model, self._nothing), put_aside(self.model):
            yield self.model

    def merge(self, weights: Mapping[str, float]) -> keras.Model:
        """Returns a plain model with a weighted sum of updates in its kernels.

        Layers trained in full and normalisations get the weighted mean of theirs.

        Args:
            weights: {name: finite weight}.

        Raises:
            InputError: no such name, weights that cannot be used, or called within
                `disabled` or `merged`.
        """
        self._known(weights)
        check_present(self.model, "merge")
        values = np.array(list(weights.values()), "float64")
        states = [self._state(name) for name in weights]
        full = any(key[0] != "lora" for key in states[0]) if states else False
        if (
            not np.isfinite(values).all()
            or not len(values)
            or (full and not sum(values))
        ):
            raise InputError(
                f"Wanted: finite weights, not all zero. Received: {dict(weights)}."
            )
        updates = [self._updates(state) for state in states]
        with self.disabled():
            plain = merge(self.model)
        layers = paths.walk(plain)
        for path in updates[0]:
            change = sum(w * u[path] for w, u in zip(values, updates, strict=True))
            kernel = layers[path].kernel
            kernel.assign((paths.value(kernel) + change).astype("float32"))
        for key in (key for key in states[0] if key[0] != "lora"):
            mean = sum(w * s[key] for w, s in zip(values, states, strict=True))
            _, path, number = key
            layers[path].weights[number].assign((mean / sum(values)).astype("float32"))
        return plain

    def predict(
        self, inputs: Any, names: Iterable[str | None], batch_size: int = 32
    ) -> Any:
        """Returns predictions of rows that belong to different adapters.

        Rows of one adapter are run together, through a plain model whose kernels hold
        its update, and the results are put back in order.

        Args:
            inputs: array or structure of arrays, row first.
            names: (n,) adapter of each row; None or "" for the base.
            batch_size: int. [default: 32]

        Raises:
            InputError: a row's adapter is unknown, there are other numbers of rows or
                none, or called within `disabled` or `merged`.
        """
        check_present(self.model, "predict")
        given = [names] if isinstance(names, str) else names
        named = [name or "" for name in given]
        rows = {len(part) for part in keras.tree.flatten(inputs)}
        if rows != {len(named)} or not named:
            raise InputError(
                "Wanted: one name for each of one or more rows. Received: "
                f"{len(named)} names for {' and '.join(map(str, sorted(rows)))} rows."
            )
        for row, name in enumerate(named):
            if name and name not in self._states:
                self._unknown(f"{name!r} in row {row}")
        parts, order = [], []
        for name in dict.fromkeys(named):
            chosen = np.array([row for row, one in enumerate(named) if one == name])
            model = self._merged_as(name)
            some = keras.tree.map_structure(
                lambda x, c=chosen: np.asarray(x)[c], inputs
            )
            parts.append(model.predict(some, batch_size=batch_size, verbose=0))
            order.append(chosen)
        back = np.argsort(np.concatenate(order), kind="stable")
        return keras.tree.map_structure(lambda *x: np.concatenate(x)[back], *parts)

    def _merged_as(self, name: str) -> keras.Model:
        """Returns the one plain model, with the weights of an adapter merged in."""
        if self._plain is None:
            with self.disabled():
                self._plain = merge(self.model)
        state = self._state(name) if name else self._nothing
        updates, layers = self._updates(state), paths.walk(self._plain)
        for one in adapters_of(self.model):
            total = paths.value(one.kernel) + updates[one.path]
            layers[one.path].kernel.assign(total)
        for key, value in state.items():
            if key[0] == "full":
                layers[key[1]].weights[key[2]].assign(value)
        return self._plain

    def _state(self, name: str) -> State:
        active = name == self.active
        return read_state(self.model) if active else self._states[name]

    def _updates(self, state: State) -> dict[str, np.ndarray]:
        with held(self.model, state):
            return {one.path: one.update() for one in adapters_of(self.model)}

    def _known(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._states:
                self._unknown(repr(name))

    def _unknown(self, what: str) -> None:
        raise InputError(
            f"Wanted: an adapter of {', '.join(self.names)}. Received: {what}."
        )
