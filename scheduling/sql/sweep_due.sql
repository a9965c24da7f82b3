-- Queue held jobs that have come due. Some are held on: for their turn in a sequence, or until a
-- pause ends.
--
-- A job that was scheduled for later is charged and tagged as if it were submitted now: a flow
-- earns no place by asking early. A retry keeps its tag. Flow tags are locked in (flow, level)
-- order, as in submit.sql. Index job_due.
with due as materialized (
    select id, sequence_key, created_at, due_at, tenant_id, flow_id, level, cost,
           attempts = 0 as is_first
      from scheduling_job
     where status = 'held' and held_reason = 'due' and due_at <= now()
     order by due_at
     limit 5000
       for update skip locked
),
first as (
    select d.id, d.flow_id, d.level, d.due_at, d.cost / greatest(f.weight, {least_weight}) as work
      from due d join scheduling_flow f on f.id = d.flow_id
     where d.is_first
),
{charge first},
tagged as (
    select f.id, t.settled,
           t.last_finish - w.amount + coalesce(
               sum(f.work) over (partition by f.flow_id, f.level order by f.due_at, f.id
                                 rows between unbounded preceding and 1 preceding), 0) as fair_tag
      from first f
      join work w using (flow_id, level)
      join tags t using (flow_id, level)
),
placed as (
    select d.id, t.fair_tag, t.settled,
           d.sequence_key is not null and (
               row_number() over (partition by d.sequence_key order by d.created_at, d.id) > 1
               or exists (select 1 from scheduling_job o
                           where o.sequence_key = d.sequence_key and o.id <> d.id
                             and (o.status in ('queued', 'processing')
                                  or o.status = 'held'
                                     and o.held_reason in ('paused', 'backlog')))) as waits,
           d.tenant_id::text in (select key from scheduling_pause where scope = 'tenant')
           or d.flow_id::text in (select key from scheduling_pause where scope = 'flow') as paused
      from due d left join tagged t using (id)
)
update scheduling_job j
   set status = case when p.waits or p.paused then 'held' else 'queued' end,
       held_reason = case when p.waits then 'turn' when p.paused then 'paused' else '' end,
       fair_tag = coalesce(p.fair_tag, j.fair_tag), settled = coalesce(p.settled, j.settled),
       updated_at = clock_timestamp()
  from placed p
 where j.id = p.id
returning j.id, j.level, j.status
