-- Let backlog into its level, in the order in which fairness would have queued it.
--
-- A level is filled so far that its running jobs, and three times the jobs that ended in the last
-- second, can start before the next sweep. Of each flow the oldest jobs come first, with the tags
-- that they get now (scheduling/policies/fairness.py); the lowest tags of all flows fill the room.
-- A flow whose queued work the clock has passed gets one job in even where there is no room, so
-- that batches do not starve behind a queue that never ends.
-- Indexes job_backlog, job_claim, job_leases, job_finished.
with recursive flow as (
    select l.level,
           (select min(j.flow_id) from scheduling_job j
             where j.status = 'held' and j.held_reason = 'backlog' and j.level = l.level) as flow_id
      from unnest(array[0, 1, 2, 3]::smallint[]) as l(level)
    union all
    select f.level,
           (select min(j.flow_id) from scheduling_job j
             where j.status = 'held' and j.held_reason = 'backlog' and j.level = f.level
               and j.flow_id > f.flow_id)
      from flow f
     where f.flow_id is not null
),
having_work as (
    select f.level, f.flow_id, count(*) over (partition by f.level) as flows
      from flow f
     where f.flow_id is not null
       and f.flow_id::text not in (select key from scheduling_pause where scope = 'flow')
),
room as materialized (
    select l.level,
           greatest(0, least(%(most)s, greatest(%(least)s, running.jobs + 3 * ended.jobs))
                       - queued.jobs) as jobs
      from (select distinct level from having_work) l
     cross join lateral (
           select count(*) as jobs
             from (select 1 from scheduling_job j
                    where j.status = 'queued' and j.level = l.level limit %(most)s) q) queued
     cross join lateral (
           select count(*) as jobs
             from scheduling_job j
            where j.status = 'processing' and j.lease_expires_at is not null
              and j.level = l.level) running
     cross join lateral (
           select count(*) as jobs
             from scheduling_job j
            where j.finished_at > now() - interval '1 second' and j.level = l.level) ended
),
heads as materialized (
    select h.*
      from having_work w
      join room r on r.level = w.level
     cross join lateral (
           select j.id, j.flow_id, j.level, j.cost, j.tenant_id
             from scheduling_job j
            where j.status = 'held' and j.held_reason = 'backlog' and j.level = w.level
              and j.flow_id = w.flow_id
            order by j.id
            limit 1 + least(r.jobs, 4 * r.jobs / w.flows)
              for update skip locked) h
),
starts as (
    select h.id, h.flow_id, h.level, h.cost / greatest(f.weight, {least_weight}) as work,
           greatest(c.virtual_time, coalesce(t.last_finish, 0)) + coalesce(
               sum(h.cost / greatest(f.weight, {least_weight})) over (
                   partition by h.flow_id, h.level order by h.id
                   rows between unbounded preceding and 1 preceding), 0) as start,
           row_number() over (partition by h.flow_id, h.level order by h.id) = 1
               and coalesce(t.last_finish, 0) <= c.virtual_time as is_due
      from heads h
      join scheduling_flow f on f.id = h.flow_id
      join scheduling_levelclock c on c.level = h.level
      left join scheduling_flowtag t on t.flow_id = h.flow_id and t.level = h.level
     where coalesce(h.tenant_id::text, '') not in (
               select key from scheduling_pause where scope = 'tenant')
),
chosen as materialized (
    select s.*
      from (select o.*, row_number() over (partition by o.level order by o.start, o.id) as place
              from starts o) s
      join room r on r.level = s.level
     where s.place <= r.jobs or s.is_due
),
{charge chosen},
placed as (
    select c.id, t.settled,
           t.last_finish - w.amount + coalesce(
               sum(c.work) over (partition by c.flow_id, c.level order by c.id
                                 rows between unbounded preceding and 1 preceding), 0) as fair_tag
      from chosen c
      join work w using (flow_id, level)
      join tags t using (flow_id, level)
)
update scheduling_job j
   set status = 'queued', held_reason = '', fair_tag = p.fair_tag, settled = p.settled,
       updated_at = clock_timestamp()
  from placed p
 where j.id = p.id
returning j.id, j.level, j.status
