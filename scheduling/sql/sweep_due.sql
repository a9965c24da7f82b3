-- Held jobs that have come due are queued, or go on waiting: for their turn in a sequence, or
-- for the end of a pause.
-- Index job_due.
with due as materialized (
    select id, sequence_key, created_at, tenant_id, flow_id
      from scheduling_job
     where status = 'held' and held_reason = 'due' and due_at <= now()
     order by due_at
     limit 5000
       for update skip locked
),
placed as (
    select d.id,
           d.sequence_key is not null and (
               row_number() over (partition by d.sequence_key order by d.created_at, d.id) > 1
               or exists (select 1 from scheduling_job o
                           where o.sequence_key = d.sequence_key and o.id <> d.id
                             and (o.status in ('queued', 'processing')
                                  or o.status = 'held' and o.held_reason = 'paused'))) as waits,
           d.tenant_id::text in (select key from scheduling_pause where kind = 'tenant')
           or d.flow_id::text in (select key from scheduling_pause where kind = 'flow') as paused
      from due d
)
update scheduling_job j
   set status = case when p.waits or p.paused then 'held' else 'queued' end,
       held_reason = case when p.waits then 'turn' when p.paused then 'paused' else '' end,
       updated_at = clock_timestamp()
  from placed p
 where j.id = p.id
returning j.id, j.level, j.status
