-- Part of a statement: give the charges of {jobs} (flow_id, level, cost, is_charged) back to their
-- flows. Flow tags are locked in (flow, level) order after the jobs, as in finish.sql.
refunds as (
    select j.flow_id, j.level, sum(j.cost / greatest(f.weight, 0.001)) as amount
      from {jobs} j join scheduling_flow f on f.id = j.flow_id
     where j.is_charged
     group by j.flow_id, j.level
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
