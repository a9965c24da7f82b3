-- End waiting jobs whose deadline has passed as `timeout`. The charge of those that never ran goes
-- back to their flows, as in cancel.sql. Index job_deadlines.
with expired as materialized (
    select id, flow_id, level, cost,
           attempts = 0 and not (status = 'held' and held_reason in ('due', 'backlog'))
               as is_charged
      from scheduling_job
     where status in ('queued', 'held') and deadline_at <= now()
     order by deadline_at
     limit 1000
       for update skip locked
),
{refund expired}
update scheduling_job j
   set status = 'timeout', held_reason = '', finished_at = clock_timestamp(),
       updated_at = clock_timestamp(), error_code = 'queue_timeout',
       error_message = 'the deadline passed while the request waited'
  from expired
 where j.id = expired.id
returning j.id, j.level, j.status, j.source, j.origin, j.sequence_key, j.attempts, j.stream,
          j.error_code, j.error_message, j.request_id
