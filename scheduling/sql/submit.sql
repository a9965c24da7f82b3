-- Store a group of jobs with their fair tags. They are queued, or held: when due later, behind an
-- earlier turn, as backlog, or while their tenant or flow is paused. {rows} is where the group
-- comes from.
--
-- Start-time fair queueing (scheduling/policies/fairness.py): a job's tag is its virtual start,
-- max(level clock, flow's last finish) plus the work of the same flow before it in this group. A
-- job that is due later, or backlog, has no work here: it is charged when it is queued
-- (sweep_due.sql, release_backlog.sql). Flow tags are locked in (flow, level) order, as in
-- finish.sql, so that groups cannot deadlock. A group that is sent twice, because a connection
-- broke after its commit, inserts nothing the second time.
with reasons as (
    select i.*, i.cost / greatest(f.weight, {least_weight}) as whole_work,
           case when i.due_at > now() then 'due'
                when i.sequence_key is not null
                     and row_number() over (partition by i.sequence_key order by i.place) > 1
                     then 'turn'
                when i.sequence_key is not null and exists (select 1 from scheduling_job j
                              where j.sequence_key = i.sequence_key and j.id <> i.id
                                and (j.status in ('queued', 'processing')
                                     or j.status = 'held' and (j.held_reason <> 'due'
                                                               or j.attempts > 0))) then 'turn'
                when i.backlog then 'backlog'
                when i.tenant_id::text in (select key from scheduling_pause where scope = 'tenant')
                     or i.flow_id::text in (select key from scheduling_pause where scope = 'flow')
                     then 'paused'
                else '' end as held_reason
      from {rows} i
      join scheduling_flow f on f.id = i.flow_id
     where not exists (select 1 from scheduling_job j where j.id = i.id)
),
input as materialized (
    select r.*, case when r.held_reason in ('due', 'backlog') then 0 else r.whole_work end as work
      from reasons r
),
{charge input},
placed as (
    select i.*, t.settled,
           t.last_finish - w.amount + coalesce(
               sum(i.work) over (partition by i.flow_id, i.level order by i.place
                                 rows between unbounded preceding and 1 preceding), 0) as fair_tag
      from input i
      join work w using (flow_id, level)
      join tags t using (flow_id, level)
),
stored as (
    insert into scheduling_job (
        id, status, held_reason, level, model, api, source, stream, tenant_id, user_id, flow_id,
        fair_tag, settled, cost, sequence_key, attempts, max_attempts, worker, cancel_requested,
        origin, request_id, created_at, updated_at, due_at, deadline_at, timeout_seconds,
        error_code, error_message, priority_reason, affinity, allow_fallback)
    select id, case when held_reason = '' then 'queued' else 'held' end, held_reason, level, model,
           api, source, stream, tenant_id, user_id, flow_id, fair_tag, settled, cost,
           sequence_key, 0, max_attempts, '', false, origin, request_id, clock_timestamp(),
           clock_timestamp(), due_at, deadline_at,
           extract(epoch from deadline_at - greatest(due_at, clock_timestamp())), '', '',
           priority_reason, affinity, allow_fallback
      from placed
     order by place
        on conflict (id) do nothing
    returning id, status, held_reason, fair_tag
),
bodies as (
    insert into scheduling_jobpayload (job_id, body)
    select i.id, i.body from input i join stored using (id)
)
select id, status, held_reason, fair_tag from stored
