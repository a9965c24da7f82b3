-- Return leased jobs to the queue with their tags, except those to be cancelled.
--
-- The attempt for which they were claimed is not counted. If it has written to the job's stream,
-- its number stays taken, so that the next attempt's entries sort behind its own; the job is
-- allowed one more attempt instead.
update scheduling_job j
   set status = 'queued', attempts = j.attempts - case when i.wrote then 0 else 1 end,
       max_attempts = j.max_attempts + case when i.wrote then 1 else 0 end, lease_token = null,
       lease_expires_at = null, worker = '', started_at = null, updated_at = now()
  from unnest(%(id)s::uuid[], %(lease_token)s::uuid[], %(wrote)s::boolean[])
           as i(id, lease_token, wrote)
 where j.id = i.id and j.lease_token = i.lease_token and j.status = 'processing'
   and not j.cancel_requested
returning j.id, j.level
