-- Move a waiting job to another level.
--
-- It is charged there and joins behind the jobs that its flow has waiting there; its charge at the
-- old level goes back. A job that is not charged yet (backlog, due later) only changes its level.
-- Flow tags are locked in (flow, level) order, as in submit.sql.
with job as materialized (
    select j.id, j.flow_id, j.level, j.fair_tag, j.settled,
           j.cost / greatest(coalesce(f.weight, 1), {least_weight}) as work,
           j.level <> %(level)s and not (j.status = 'held' and (
               j.held_reason = 'backlog' or j.held_reason = 'due' and j.attempts = 0)) as moves
      from scheduling_job j
      left join scheduling_flow f on f.id = j.flow_id
     where j.id = %(id)s and j.status in ('held', 'queued')
       for update of j
),
tags as (
    insert into scheduling_flowtag as t (flow_id, level, last_finish)
    select job.flow_id, c.level,
           c.virtual_time + case when c.level = job.level then 0 else job.work end
      from job join scheduling_levelclock c on c.level in (job.level, %(level)s)
     where job.moves
     order by job.flow_id, c.level
        on conflict (flow_id, level) do update
       set last_finish = case
               when t.level = %(level)s
                   then greatest(excluded.last_finish, t.last_finish + (select work from job))
               else greatest(0, t.last_finish - (select work from job)) end
    returning level, last_finish, settled
)
update scheduling_job j
   set level = %(level)s, updated_at = clock_timestamp(),
       priority_reason = 'moved by an operator',
       fair_tag = coalesce(tags.last_finish - job.work, job.fair_tag),
       settled = coalesce(tags.settled, job.settled)
  from job left join tags on tags.level = %(level)s
 where j.id = job.id
returning j.status
