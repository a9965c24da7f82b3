-- End waiting jobs, and ask running ones to end.
--
-- A job that never ran costs nothing: its charge goes back to its flow. Otherwise a client that
-- gives up and asks again would wait longer each time.
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
{refund mine}
select id, status from ended
