"""Until 0.1.0 the home of the transport: settings may name it by this path."""

from scheduling.tickets.transport import Transport as Transport
