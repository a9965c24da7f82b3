"""Django admin for endpoints and model pools."""

from balancing.admin import endpoints as endpoints
from balancing.admin import model_pools as model_pools
