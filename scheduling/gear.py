"""Until 0.1.0 the home of the strategy of `serve_next`: settings may name it by this path."""

from scheduling.worker.strategy import strategy as strategy
