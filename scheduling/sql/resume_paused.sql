-- Queue jobs again whose pause is over, in their old order.
--
-- The level's clock has gone on meanwhile. All jobs of a flow move behind it by the same step, so
-- that a pause earns no credit against flows that ran and the order within the flow stays. Flow
-- tags are locked in (flow, level) order, as in submit.sql. Index job_held.
with over as materialized (
    select j.id, j.flow_id, j.level, j.fair_tag
      from scheduling_job j
     where j.status = 'held' and j.held_reason = 'paused' and j.level in (0, 1, 2, 3)
       and not exists (select 1 from scheduling_pause p
                        where p.scope = 'tenant' and p.key = j.tenant_id::text
                           or p.scope = 'flow' and p.key = j.flow_id::text)
       for update of j skip locked
),
steps as (
    select o.flow_id, o.level, greatest(0, c.virtual_time - min(o.fair_tag)) as step
      from over o join scheduling_levelclock c on c.level = o.level
     group by o.flow_id, o.level, c.virtual_time
),
locked as materialized (
    select t.flow_id, t.level
      from scheduling_flowtag t join steps s using (flow_id, level)
     order by t.flow_id, t.level
       for update of t
),
moved as (
    update scheduling_flowtag t
       set last_finish = t.last_finish + s.step
      from locked l join steps s using (flow_id, level)
     where t.flow_id = l.flow_id and t.level = l.level
)
update scheduling_job j
   set status = 'queued', held_reason = '', fair_tag = j.fair_tag + s.step,
       updated_at = clock_timestamp()
  from over o join steps s using (flow_id, level)
 where j.id = o.id
returning j.id, j.level, j.status
