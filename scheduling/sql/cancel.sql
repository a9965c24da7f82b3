-- End waiting jobs, and ask running ones to end.
--
-- A job that never ran costs nothing: its charge goes back to its flow, or a client that gives up
-- and asks again would wait longer each time. Flow tags are locked in (flow, level) order after
-- the jobs, as in finish.sql.
with mine as materialized (
    select id, flow_id, level, cost,
           status <> 'processing' and attempts = 0
               and not (status = 'held' and held_reason in ('due', 'backlog')) as is_charged
      from scheduling_job
     where id = any(%(ids)s::uuid[]) and status in ('held', 'queued', 'processing')
     order by id
       for update
),
ended as (
    update scheduling_job j
       set status = case when j.status = 'processing' then j.status else 'cancelled' end,
           cancel_requested = true, held_reason = '', updated_at = clock_timestamp(),
           finished_at = case when j.status = 'processing' then null else clock_timestamp() end,
           error_code = 'cancelled', error_message = %(why)s
      from mine
     where j.id = mine.id
    returning j.id, j.status
),
refunds as (
    select m.flow_id, m.level, sum(m.cost / greatest(f.weight, 0.001)) as amount
      from mine m join scheduling_flow f on f.id = m.flow_id
     where m.is_charged
     group by m.flow_id, m.level
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
select id, status from ended
