-- Give an ended job without an answer a fresh set of attempts.
--
-- The job is held when another turn of its sequence is in flight, or while its tenant or flow is
-- paused. Attempt numbers go on, so that stream entries of new attempts sort behind old ones. The
-- fresh set has as many attempts as the settings allow any job: the job's own number would double
-- with each requeue. The job is charged again and joins behind the jobs that its flow has waiting,
-- as in submit.sql: a thousand dead letters queued again overtake nobody. Its deadline is as far
-- away as it was at first. A job that was cancelled before it was due is held until then, and is
-- charged then (sweep_due.sql). The due time of a retry is over.
with job as materialized (
    select j.id, j.flow_id, j.level, j.sequence_key, j.tenant_id, d.due_at,
           case when d.due_at is null
                then j.cost / greatest(coalesce(f.weight, 1), {least_weight})
                else 0 end as work,
           -- Processes of the previous version have stored jobs without it.
           coalesce(j.timeout_seconds, extract(epoch from j.deadline_at - greatest(
               j.created_at, case when j.attempts = 0 then j.due_at end))) as timeout_seconds
      from scheduling_job j
      left join scheduling_flow f on f.id = j.flow_id
      cross join lateral (
           select case when j.attempts = 0 and j.due_at > now() then j.due_at end as due_at) d
     where j.id = %(id)s and j.status in ('failed', 'timeout', 'cancelled')
       for update of j
),
tags as (
    insert into scheduling_flowtag as t (flow_id, level, last_finish)
    select job.flow_id, job.level, c.virtual_time + job.work
      from job join scheduling_levelclock c on c.level = job.level
        on conflict (flow_id, level) do update
       set last_finish = greatest(excluded.last_finish,
                                  t.last_finish + (select work from job))
    returning last_finish, settled
),
turn as (
    select exists (
             select 1
               from scheduling_job o
               join job on o.sequence_key = job.sequence_key and o.id <> job.id
              where o.status in ('queued', 'processing')
                 or o.status = 'held' and o.held_reason in ('paused', 'backlog')) as taken,
           exists (
             select 1
               from scheduling_pause p
               join job on p.scope = 'tenant' and p.key = job.tenant_id::text
                           or p.scope = 'flow' and p.key = job.flow_id::text) as paused
)
update scheduling_job j
   set status = case when job.due_at is not null or turn.taken or turn.paused
                     then 'held' else 'queued' end,
       held_reason = case when job.due_at is not null then 'due' when turn.taken then 'turn'
                          when turn.paused then 'paused' else '' end,
       fair_tag = tags.last_finish - job.work, settled = tags.settled,
       max_attempts = least(j.attempts + %(max_attempts)s, 32767), cancel_requested = false,
       due_at = job.due_at, timeout_seconds = job.timeout_seconds,
       deadline_at = greatest(job.due_at, clock_timestamp())
                     + make_interval(secs => job.timeout_seconds),
       lease_token = null, error_code = '', error_message = '', finished_at = null,
       updated_at = clock_timestamp()
  from job, tags, turn
 where j.id = job.id
returning j.status, j.level
