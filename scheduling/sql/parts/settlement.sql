-- Part of a statement: settle {jobs} (flow_id, level, amount by weight) with their flows, as
-- `settle` in scheduling/policies/fairness.py. `settled` sums the amounts up, for what the flow has
-- queued (settle.sql). Flow tags are locked in (flow, level) order after the jobs, as in
-- charge.sql.
locked as materialized (
    select t.flow_id, t.level
      from scheduling_flowtag t join {jobs} s using (flow_id, level)
     order by t.flow_id, t.level
       for update of t
),
settled as (
    update scheduling_flowtag t
       set last_finish = greatest(0, t.last_finish + s.amount), settled = t.settled + s.amount
      from locked l join {jobs} s using (flow_id, level)
     where t.flow_id = l.flow_id and t.level = l.level
    returning t.flow_id
)
