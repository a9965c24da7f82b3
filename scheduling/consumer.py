"""Until 0.1.0 the home of the consumer: settings may name it by this path."""

from scheduling.tickets.consumer import Consumer as Consumer
