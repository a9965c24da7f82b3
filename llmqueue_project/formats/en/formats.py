"""How Django writes instants: to the millisecond, in the order that sorts."""

DATETIME_FORMAT = "Y-m-d H:i:s.u"
