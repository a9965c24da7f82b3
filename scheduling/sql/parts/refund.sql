-- Part of a statement: give the charges of {jobs} (flow_id, level, cost, is_charged) back to their
-- flows.
refunds as (
    select j.flow_id, j.level, -sum(j.cost / greatest(f.weight, {least_weight})) as amount
      from {jobs} j join scheduling_flow f on f.id = j.flow_id
     where j.is_charged
     group by j.flow_id, j.level
),
{settlement refunds}
