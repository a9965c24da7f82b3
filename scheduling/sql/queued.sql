-- How many jobs each level has queued, counted up to a cap. Index job_claim.
select l.level,
       (select count(*)
          from (select 1 from scheduling_job j
                 where j.status = 'queued' and j.level = l.level limit %(cap)s) head)
  from unnest(array[0, 1, 2, 3]::smallint[]) as l(level)
