-- Why held jobs are held, counted by level and reason up to a cap. Index job_held.
select h.level, h.held_reason, count(*)
  from unnest(array[0, 1, 2, 3]::smallint[]) as l(level)
 cross join lateral (
       select j.level, j.held_reason
         from scheduling_job j
        where j.status = 'held' and j.level = l.level
        limit %(cap)s) h
 group by h.level, h.held_reason
