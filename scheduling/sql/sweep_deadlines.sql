-- Waiting jobs whose deadline passed end in timeout without ever reaching an endpoint; the charge
-- of those that never ran goes back to their flows, as in cancel.sql. Index job_deadlines.
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
refunds as (
    select e.flow_id, e.level, sum(e.cost / greatest(f.weight, 0.001)) as amount
      from expired e join scheduling_flow f on f.id = e.flow_id
     where e.is_charged
     group by e.flow_id, e.level
),
locked as materialized (
    select t.flow_id, t.level
      from scheduling_flowtag t join refunds r using (flow_id, level)
     order by t.flow_id, t.level
       for update of t
),
settled as (
    update scheduling_flowtag t
       set last_finish = greatest(0, t.last_finish - r.amount), settled = t.settled - r.amount
      from locked l join refunds r using (flow_id, level)
     where t.flow_id = l.flow_id and t.level = l.level
)
update scheduling_job j
   set status = 'timeout', held_reason = '', finished_at = clock_timestamp(),
       updated_at = clock_timestamp(), error_code = 'queue_timeout',
       error_message = 'the deadline passed while the request waited'
  from expired
 where j.id = expired.id
returning j.id, j.level, j.status, j.source, j.origin, j.sequence_key, j.attempts, j.stream,
          j.error_code, j.error_message
