"""What do operators see of endpoints and model pools, and what can they do?"""

from balancing.admin import endpoints as endpoints
from balancing.admin import model_pools as model_pools
