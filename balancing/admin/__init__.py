"""Django admin for endpoints and model pools."""

from balancing.admin import endpoints as endpoints
