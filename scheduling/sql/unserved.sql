-- Queued jobs whose model is not among these, by level and model. The statement takes a step for
-- each model that has work, not for each job. Index job_claim.
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
)
select m.level, m.name,
       (select count(*)
          from (select 1 from scheduling_job j
                 where j.status = 'queued' and j.level = m.level and j.model = m.name
                 limit %(cap)s) counted)
  from model m
 where m.name is not null and m.name <> all(%(models)s::text[])
