"""Which endpoints are there, and how are the requests for some models balanced?"""

from balancing.models.choices import SUPPORTED, served_apis
from balancing.models.endpoint import Endpoint, validate_aliases, validate_prices
from balancing.models.model_pool import ModelPool, validate_fallbacks, validate_profile
from balancing.validators import (
    CREDENTIAL_VARIABLE,
    validate_apis,
    validate_base_url,
    validate_ca_bundle,
    validate_extra_headers,
    validate_finite,
    validate_models,
)

# Migrations refer to the validators by these names.
__all__ = [
    "CREDENTIAL_VARIABLE",
    "SUPPORTED",
    "Endpoint",
    "ModelPool",
    "served_apis",
    "validate_aliases",
    "validate_apis",
    "validate_base_url",
    "validate_ca_bundle",
    "validate_extra_headers",
    "validate_fallbacks",
    "validate_finite",
    "validate_models",
    "validate_prices",
    "validate_profile",
]
