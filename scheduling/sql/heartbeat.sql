-- Renew leases. A lease whose row is not returned is lost.
update scheduling_job j
   set lease_expires_at = now() + make_interval(secs => %(lease_seconds)s)
  from unnest(%(id)s::uuid[], %(lease_token)s::uuid[]) as i(id, lease_token)
 where j.id = i.id and j.lease_token = i.lease_token and j.status = 'processing'
returning j.id, j.cancel_requested
