-- Give an ended job without an answer a fresh set of attempts; held when another turn of its
-- sequence is in flight, or while its tenant or flow is paused. Attempt numbers go on, so that
-- stream entries of old attempts stay behind.
update scheduling_job j
   set status = case when turn.taken or turn.paused then 'held' else 'queued' end,
       held_reason = case when turn.taken then 'turn' when turn.paused then 'paused' else '' end,
       max_attempts = j.attempts + j.max_attempts, cancel_requested = false, deadline_at = null,
       due_at = null, lease_token = null, error_code = '', error_message = '', finished_at = null,
       updated_at = clock_timestamp()
  from (select exists (
                 select 1
                   from scheduling_job o
                   join scheduling_job me on me.id = %(id)s and o.sequence_key = me.sequence_key
                  where o.id <> me.id
                    and (o.status in ('queued', 'processing')
                         or o.status = 'held' and o.held_reason = 'paused')) as taken,
               exists (
                 select 1
                   from scheduling_pause p
                   join scheduling_job me on me.id = %(id)s
                  where p.kind = 'tenant' and p.key = me.tenant_id::text
                     or p.kind = 'flow' and p.key = me.flow_id::text) as paused) turn
 where j.id = %(id)s and j.status in ('failed', 'timeout', 'cancelled')
returning j.status, j.level
