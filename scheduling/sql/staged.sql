-- A group of jobs as rows that were copied in: what submit.sql stores for bulk submission.
pg_temp.scheduling_staging
