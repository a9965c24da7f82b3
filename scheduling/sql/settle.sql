-- Correct the tags of queued jobs whose flow's jobs turned out dearer or cheaper than estimated.
--
-- A finish settles the flow's last finish; jobs that the flow had queued by then keep their tags.
-- Only the next jobs of each level and model matter. A job is moved when its flow's settlements
-- since it was tagged exceed `works` times its own work (scheduling/policies/fairness.py,
-- `corrected`).
-- Index job_claim.
with recursive model as (
    select l.level,
           (select min(j.model) from scheduling_job j
             where j.status = 'queued' and j.level = l.level) as name
      from unnest(array[0, 1, 2, 3]::smallint[]) as l(level)
    union all
    select m.level,
           (select min(j.model) from scheduling_job j
             where j.status = 'queued' and j.level = m.level and j.model > m.name)
      from model m
     where m.name is not null
),
behind as materialized (
    select h.id, t.settled
      from model m
     cross join lateral (
           select j.id, j.flow_id, j.settled, j.cost
             from scheduling_job j
            where j.status = 'queued' and j.level = m.level and j.model = m.name
            order by j.fair_tag, j.id
            limit %(heads)s) h
      join scheduling_flowtag t on t.flow_id = h.flow_id and t.level = m.level
      join scheduling_flow f on f.id = h.flow_id
     where abs(t.settled - h.settled) > %(works)s * h.cost / greatest(f.weight, {least_weight})
),
locked as materialized (
    select j.id, b.settled
      from scheduling_job j join behind b using (id)
     where j.status = 'queued'
       for update of j skip locked
)
update scheduling_job j
   set fair_tag = greatest(0, j.fair_tag + l.settled - j.settled), settled = l.settled
  from locked l
 where j.id = l.id
returning j.id
