-- Part of a statement: charge the flows of {jobs} (flow_id, level, work) with their work, as
-- scheduling/policies/fairness.py derives it. Flow tags are locked in (flow, level) order, so that
-- no two statements can deadlock. A job's tag is its flow's last finish, less its own work and that
-- of the jobs behind it.
work as (
    select flow_id, level, sum(work) as amount from {jobs} group by flow_id, level
),
tags as (
    insert into scheduling_flowtag as t (flow_id, level, last_finish)
    select w.flow_id, w.level, c.virtual_time + w.amount
      from work w join scheduling_levelclock c on c.level = w.level
     order by w.flow_id, w.level
        on conflict (flow_id, level) do update
       set last_finish = greatest(
               excluded.last_finish,
               t.last_finish + (select w.amount from work w
                                 where w.flow_id = t.flow_id and w.level = t.level))
    returning flow_id, level, last_finish, settled
)
